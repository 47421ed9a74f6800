#include "net/kube/leader_election.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"

namespace baton::kube {
namespace {

using std::chrono::seconds;

Lease::Config config_of(const std::string& identity) {
  return {.ns = "ns", .name = "leader", .identity = identity};
}

// The server's copy: a contender reads it, and writes over the version it read.
class LeaseTest : public ::testing::Test {
 protected:
  Deadline soon() { return Deadline::in(clock_, seconds(1)); }
  std::optional<Object> read(Lease& lease) {
    auto found = cluster_.get(lease.key(), soon());
    return found ? std::optional(*found) : std::nullopt;
  }
  // One round of a contender. Whether it leads afterwards.
  bool contend(Lease& lease) {
    const Mono began = clock_.now();
    lease.observe(read(lease), clock_.now());
    if (auto wanted = lease.claim(clock_.now(), clock_.wall())) write(lease, *wanted, began);
    return lease.leads(clock_.now());
  }
  void write(Lease& lease, const Object& wanted, Mono began) {
    const bool exists = wanted.find_path({"metadata", "resourceVersion"}) != nullptr;
    auto done = exists ? cluster_.update(wanted, DryRun::kNo, soon())
                       : cluster_.create(wanted, DryRun::kNo, soon());
    if (done) lease.claimed(*std::move(done), began);
  }
  std::int64_t transitions() {
    return cluster_.get(a_.key(), soon())
        ->find_path({"spec", "leaseTransitions"})
        ->if_int()
        .value();
  }

  ManualClock clock_;
  SeededRandom random_{11};
  MemoryCluster cluster_{clock_, random_};
  Lease a_{config_of("a")};
  Lease b_{config_of("b")};
};

TEST_F(LeaseTest, TheFirstTakesItAndTheOthersWait) {
  EXPECT_TRUE(contend(a_));
  EXPECT_FALSE(contend(b_));
  EXPECT_EQ(b_.holder(), "a");
  const Object lease = *read(a_);
  EXPECT_EQ(lease.find_path({"spec", "leaseDurationSeconds"})->if_int(), 15);
  EXPECT_EQ(lease.string_at({"spec", "acquireTime"}), "2023-11-14T22:13:20.000000Z");
  EXPECT_EQ(transitions(), 0);
}

TEST_F(LeaseTest, ARenewalKeepsItAndMovesOnlyTheRenewTime) {
  ASSERT_TRUE(contend(a_));
  for (int i = 0; i < 20; ++i) {
    clock_.advance(seconds(2));
    EXPECT_TRUE(contend(a_));
    EXPECT_FALSE(contend(b_));
  }
  const Object lease = *read(a_);
  EXPECT_EQ(lease.string_at({"spec", "acquireTime"}), "2023-11-14T22:13:20.000000Z");
  EXPECT_EQ(lease.string_at({"spec", "renewTime"}), "2023-11-14T22:14:00.000000Z");
  EXPECT_EQ(transitions(), 0);
}

TEST_F(LeaseTest, TheHolderStopsFiveSecondsBeforeAnotherMayTakeOver) {
  ASSERT_TRUE(contend(a_));
  ASSERT_FALSE(contend(b_));
  clock_.advance(seconds(10) - Millis(1));
  EXPECT_TRUE(a_.leads(clock_.now()));
  clock_.advance(Millis(1));
  EXPECT_FALSE(a_.leads(clock_.now()));
  clock_.advance(seconds(5) - Millis(1));
  EXPECT_FALSE(contend(b_));
  clock_.advance(Millis(1));
  EXPECT_TRUE(contend(b_));
  EXPECT_EQ(transitions(), 1);
  EXPECT_FALSE(contend(a_));
}

TEST_F(LeaseTest, AHolderCountsFromBeforeItsRequest) {
  const Mono began = clock_.now();
  a_.observe(std::nullopt, began);
  const auto wanted = a_.claim(began, clock_.wall());
  clock_.advance(seconds(4));  // the answer takes its time
  write(a_, *wanted, began);
  EXPECT_EQ(a_.until(), began + seconds(10));
}

TEST_F(LeaseTest, ALeaseGivenBackIsTakenAtOnce) {
  ASSERT_TRUE(contend(a_));
  ASSERT_FALSE(contend(b_));
  ASSERT_TRUE(cluster_.update(a_.release(clock_.wall()), DryRun::kNo, soon()));
  a_.released();
  EXPECT_FALSE(a_.leads(clock_.now()));
  EXPECT_TRUE(contend(b_));
  EXPECT_EQ(transitions(), 1);
}

TEST_F(LeaseTest, OneOfTwoThatTryTogetherLosesTheWrite) {
  ASSERT_TRUE(contend(a_));
  contend(b_);
  Lease c(config_of("c"));
  contend(c);
  clock_.advance(seconds(15));
  const auto b_wants = b_.claim(clock_.now(), clock_.wall());
  const auto c_wants = c.claim(clock_.now(), clock_.wall());
  ASSERT_TRUE(b_wants && c_wants);
  write(b_, *b_wants, clock_.now());
  write(c, *c_wants, clock_.now());
  EXPECT_TRUE(b_.leads(clock_.now()));
  EXPECT_FALSE(c.leads(clock_.now()));
}

TEST_F(LeaseTest, RefusesTimesThatWouldLetTwoLead) {
  EXPECT_TRUE(Lease::check(config_of("a")));
  auto config = config_of("a");
  config.renew = config.duration;
  EXPECT_FALSE(Lease::check(config));
  config = config_of("a");
  config.retry = config.renew;
  EXPECT_FALSE(Lease::check(config));
  EXPECT_FALSE(Lease::check(config_of("")));
}

// Contenders that pause, whose requests get lost before or after the server, under a seed.
TEST_F(LeaseTest, NeverDoTwoLeadWhateverGoesWrong) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom dice(seed);
    MemoryCluster fresh(clock_, random_);
    std::vector<std::unique_ptr<Lease>> contenders;
    for (const auto* name : {"a", "b", "c"}) {
      contenders.push_back(std::make_unique<Lease>(config_of(name)));
    }
    std::vector<Mono> next(contenders.size(), clock_.now());
    std::set<std::string> have_led;
    for (int step = 0; step < 600; ++step) {
      clock_.advance(Millis(100));
      for (std::size_t i = 0; i < contenders.size(); ++i) {
        if (clock_.now() < next[i]) continue;
        // Now and then one stands still for a long time.
        next[i] = clock_.now() + (dice.below(40) == 0 ? seconds(dice.below(25)) : seconds(2));
        Lease& lease = *contenders[i];
        const Mono began = clock_.now() - Millis(dice.below(300));
        if (dice.below(10) == 0) continue;  // the read is lost
        auto found = fresh.get(lease.key(), soon());
        lease.observe(found ? std::optional(*found) : std::nullopt, clock_.now());
        const auto wanted = lease.claim(clock_.now(), clock_.wall());
        if (!wanted || dice.below(10) == 0) continue;  // the write is lost
        const bool exists = wanted->find_path({"metadata", "resourceVersion"}) != nullptr;
        auto done = exists ? fresh.update(*wanted, DryRun::kNo, soon())
                           : fresh.create(*wanted, DryRun::kNo, soon());
        if (done && dice.below(10) != 0) lease.claimed(*done, began);  // else the answer is lost
      }
      int leaders = 0;
      for (const auto& lease : contenders) {
        if (!lease->leads(clock_.now())) continue;
        ++leaders;
        have_led.insert(lease->config().identity);
      }
      ASSERT_LE(leaders, 1) << "step " << step;
    }
    EXPECT_FALSE(have_led.empty());
  }
}

// Of real threads: what the callbacks told, in order.
class ElectionTest : public ::testing::Test {
 protected:
  std::unique_ptr<LeaderElection> start(const std::string& identity, Cluster& cluster) {
    auto config = config_of(identity);
    config.duration = seconds(1);
    config.renew = Millis(400);
    config.retry = Millis(20);
    auto made = LeaderElection::start(
        config, cluster, clock_, random_,
        {.on_started = [this, identity] { tell(identity + " leads"); },
         .on_stopped = [this, identity](const std::string&) { tell(identity + " stops"); }});
    EXPECT_TRUE(made);
    return made ? *std::move(made) : nullptr;
  }
  void tell(const std::string& what) {
    const std::lock_guard lock(mutex_);
    told_.push_back(what);
    changed_.notify_all();
  }
  bool await(const std::string& what) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(20), [&] {
      return std::find(told_.begin(), told_.end(), what) != told_.end();
    });
  }

  SystemClock clock_;
  SystemRandom random_;
  MemoryCluster cluster_{clock_, random_};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> told_;
};

TEST_F(ElectionTest, TheNextTakesOverWhenTheLeaderLeaves) {
  auto first = start("first", cluster_);
  ASSERT_TRUE(await("first leads"));
  EXPECT_TRUE(first->leads());
  auto second = start("second", cluster_);
  first.reset();
  ASSERT_TRUE(await("second leads"));
  EXPECT_EQ(second->holder(), "second");
  second.reset();
  EXPECT_EQ(told_, (std::vector<std::string>{"first leads", "first stops", "second leads",
                                             "second stops"}));
}

TEST_F(ElectionTest, ALeaderWhoseLeaseIsTakenAwayStopsAndMayLeadAgain) {
  auto first = start("first", cluster_);
  ASSERT_TRUE(await("first leads"));
  // As an administrator would, over every version.
  const ObjectKey key{{"coordination.k8s.io", "v1", "Lease"}, "ns", "leader"};
  Object patch;
  patch["spec"]["holderIdentity"] = "somebody";
  const auto soon = Deadline::in(clock_, seconds(10));
  ASSERT_TRUE(cluster_.patch(key, patch, DryRun::kNo, soon));
  ASSERT_TRUE(await("first stops"));
  EXPECT_FALSE(first->leads());
  {
    const std::lock_guard lock(mutex_);
    told_.clear();
  }
  EXPECT_TRUE(await("first leads"));  // when somebody did not renew it
}

}  // namespace
}  // namespace baton::kube
