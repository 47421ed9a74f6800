// Probes beside passes: when they are sent, and what becomes of the answers.

#include "control/reconcile/prober.hpp"

#include <condition_variable>
#include <future>

#include "control/reconcile/testing.hpp"
#include "net/kube/testing/scripted_api.hpp"

namespace baton::reconcile {
namespace {

using ::testing::HasSubstr;

http::ResponseHead proof(const char* remote) {
  return {200, {{"x-baton-prefill", "p 10.0.0.7:8000"}, {"x-baton-remote-tokens", remote}}};
}

// Answers as a test says, and lets it wait for probes.
class Path {
 public:
  SendProbe send() {
    return [this](const ProbeTarget& target, Deadline deadline) -> Result<http::ResponseHead> {
      std::unique_lock lock(mutex_);
      asked_.push_back(target);
      deadlines_.push_back(deadline);
      ++in_flight_;
      most_ = std::max(most_, in_flight_);
      changed_.notify_all();
      changed_.wait_until(lock, deadline.at, [&] { return !held_; });
      --in_flight_;
      if (held_) return timed_out("no answer");
      return answer_;
    };
  }
  void answer(Result<http::ResponseHead> answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  void hold(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    changed_.notify_all();
  }
  bool await(std::size_t count, Mono until) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, until, [&] { return asked_.size() >= count; });
  }
  std::vector<ProbeTarget> asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  int most() {
    const std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<ProbeTarget> asked_;
  std::vector<Deadline> deadlines_;
  int in_flight_ = 0, most_ = 0;
  bool held_ = false;
  Result<http::ResponseHead> answer_ = proof("12");
};

class ProberTest : public ReconcileTest {
 protected:
  Prober::Config config() {
    return {.send = path_.send(),
            .threads = 2,
            .timeout = std::chrono::seconds(5),
            .retry = Millis(5),
            .again = Millis(20)};
  }
  // "True KVTransferred" …
  std::string told() {
    const auto object = service();
    const auto* found = kube::find_condition(object, "KVTransferVerified");
    if (found == nullptr) return "absent";
    return std::string(found->string_at({"status"})) + " " +
           std::string(found->string_at({"reason"}));
  }
  void annotate(const char* value) {
    edit([&](kube::Object& o) { o["metadata"]["annotations"]["baton.dev/probe"] = value; });
  }
  void bring_up() {
    for (const auto* name : {"storyteller-kserve", "storyteller-kserve-prefill",
                             "storyteller-kserve-router-scheduler"}) {
      mark_available(name, "True");
    }
    const auto fresh = parse(R"([{conditions: [{type: Accepted, status: "True"},
      {type: ResolvedRefs, status: "True"}],
      parentRef: {name: kserve-ingress-gateway, namespace: kserve}}])");
    for (const auto& type : {kRoute, kPool}) {
      const auto key = *kube::key_of(cluster_.list({type, "", {}}, soon())->items.front());
      change_part(key, kube::Part::kStatus,
                  [&](kube::Object& o) { o["status"]["parents"] = fresh; });
    }
    change_part({kGateway, "kserve", "kserve-ingress-gateway"}, kube::Part::kStatus,
                [](kube::Object& o) { o["status"]["addresses"] = parse("[{value: 10.9.9.9}]"); });
  }
  void await(const std::string& what, const std::function<bool()>& holds) {
    const auto deadline = soon();
    while (!holds()) {
      ASSERT_FALSE(deadline.passed(clock_.now())) << what << "; told is " << told();
      const auto from = cluster_.list({kService, "", {}}, soon());
      const auto watch = *cluster_.watch({kService, "", {}}, from->version, soon());
      (void)watch->next(deadline.earlier(Deadline::in(clock_, Millis(20))));
    }
  }
  // Until the condition reads so.
  void await(const std::string& wanted) {
    await(wanted, [&] { return told() == wanted; });
  }

  Path path_;
};

TEST_F(ProberTest, AServiceTellsWhetherKvMovesAndWhereItFails) {
  observe::Registry registry;
  const Reconciler working({cluster_, clock_, registry}, {Installation(), 2, {}, config()});
  create_quickstart();
  annotate("true");
  await("Unknown NotReady");
  EXPECT_TRUE(path_.asked().empty());
  await("the route", [&] { return !cluster_.list({kRoute, "", {}}, soon())->items.empty(); });
  bring_up();
  await("True KVTransferred");
  EXPECT_TRUE(kube::condition_is(service(), "Ready", "True"));
  EXPECT_EQ(path_.asked().front().url, "http://10.9.9.9:8080/default/storyteller");
  EXPECT_EQ(path_.asked().front().model, "storyteller");

  path_.answer(http::ResponseHead{
      500, {{"x-baton-error-hop", "prefill"}, {"x-baton-prefill", "p 10.0.0.7:8000"}}});
  await("False PrefillFailed");
  EXPECT_THAT(
      std::string(kube::find_condition(service(), "KVTransferVerified")->string_at({"message"})),
      HasSubstr("p 10.0.0.7:8000 answered 500"));
  EXPECT_TRUE(kube::condition_is(service(), "Ready", "True")) << "it is no part of Ready";
  path_.answer(proof("12"));
  await("True KVTransferred");

  mark_available("storyteller-kserve", "False");
  await("Unknown NotReady");
  mark_available("storyteller-kserve", "True");
  await("True KVTransferred");
  annotate("false");
  await("absent");
}

TEST_F(ProberTest, NoServiceIsProbedThatDoesNotAskOrHasNoPrefill) {
  observe::Registry registry;
  {
    const Reconciler working({cluster_, clock_, registry}, {Installation(), 2, {}, config()});
    create_quickstart();
    await("the route", [&] { return !cluster_.list({kRoute, "", {}}, soon())->items.empty(); });
    bring_up();
    await("Ready", [&] { return kube::condition_is(service(), "Ready", "True"); });
    EXPECT_EQ(told(), "absent");
    EXPECT_TRUE(path_.asked().empty());
    annotate("true");
    await("True KVTransferred");
    edit([](kube::Object& o) { o["spec"].if_object()->erase("prefill"); });
    await("absent");
    await("a warning", [&] {
      return std::ranges::any_of(events("PlanWarning"), [](const std::string& text) {
        return text.contains("has no effect without /spec/prefill");
      });
    });
  }
}

TEST_F(ProberTest, APassNeverWaitsForAProbe) {
  path_.hold(true);
  observe::Registry registry;
  Reconciler passing({troubled_, clock_, registry}, {Installation(), 0, {}, config()});
  create_quickstart();
  annotate("true");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(passing));
  bring_up();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(passing));
  ASSERT_TRUE(path_.await(1, soon().at));
  EXPECT_EQ(told(), "Unknown Probing");
  const int writes = troubled_.writes();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pass(passing));
  EXPECT_EQ(troubled_.writes(), writes);
  path_.hold(false);
}

// ---- alone

class AloneTest : public ::testing::Test {
 protected:
  Prober::Config config() {
    return {.send = path_.send(),
            .threads = 2,
            .timeout = Millis(200),
            .retry = Millis(1),
            .again = Millis(1)};
  }
  bool verdict_within(Prober& prober, const std::string& key, std::string_view reason) {
    const auto deadline = Deadline::in(clock_, std::chrono::seconds(10));
    while (!deadline.passed(clock_.now())) {
      const auto told = prober.verdict(key, {"http://" + key, "m"}, 1);
      if (told && told->reason == reason) return true;
      path_.await(path_.asked().size() + 1, clock_.now() + Millis(20));
    }
    return false;
  }
  SystemClock clock_;
  observe::Registry registry_;
  Path path_;
};

TEST_F(AloneTest, IsBoundedByItsThreadsAndEndsWhatDoesNotAnswer) {
  path_.hold(true);
  Prober prober(config(), clock_, registry_, [](const std::string&) {});
  for (int i = 0; i < 20; ++i) {
    (void)prober.verdict("s" + std::to_string(i), {"http://" + std::to_string(i), "m"}, 1);
  }
  EXPECT_TRUE(verdict_within(prober, "s0", "Unreachable")) << "the deadline ends it";
  ASSERT_TRUE(path_.await(6, clock_.now() + std::chrono::seconds(10)));
  EXPECT_LE(path_.most(), 2);
  EXPECT_THAT(registry_.expose(),
              HasSubstr("baton_controller_probes_total{result=\"Unreachable\"}"));
}

TEST_F(AloneTest, TellsOfANewVerdictOnceAndForgets) {
  std::atomic<int> told = 0;
  Prober prober(config(), clock_, registry_, [&](const std::string&) { ++told; });
  EXPECT_TRUE(verdict_within(prober, "s", "KVTransferred"));
  const auto revision = prober.revision("s");
  EXPECT_NE(revision, 0U);
  ASSERT_TRUE(path_.await(path_.asked().size() + 5, clock_.now() + std::chrono::seconds(10)));
  EXPECT_EQ(prober.revision("s"), revision) << "the same answer again is no news";
  path_.answer(proof("0"));
  EXPECT_TRUE(verdict_within(prober, "s", "TransferFailed"));
  // A verdict can be read a moment before it is told of.
  const auto deadline = Deadline::in(clock_, std::chrono::seconds(10));
  while (told < 2 && !deadline.passed(clock_.now())) {
    path_.await(path_.asked().size() + 1, clock_.now() + Millis(20));
  }
  EXPECT_EQ(told, 2);
  prober.forget("s");
  EXPECT_EQ(prober.revision("s"), 0U);
}

TEST_F(AloneTest, WhatFormerPodsAnsweredIsNoVerdictOnNewOnes) {
  std::promise<void> begun, gate;
  auto config = this->config();
  config.send = [&, opened = gate.get_future().share()](const ProbeTarget& target,
                                                        Deadline) -> Result<http::ResponseHead> {
    if (target.url != "http://former") return proof("0");
    begun.set_value();
    opened.wait_for(std::chrono::seconds(10));
    return proof("12");
  };
  std::promise<std::string> first;
  std::atomic<bool> is_told = false;
  Prober prober(config, clock_, registry_, [&](const std::string& key) {
    if (!is_told.exchange(true)) {
      first.set_value(prober.verdict(key, {"http://new", "m"}, 2)->reason);
    }
  });
  EXPECT_FALSE(prober.verdict("s", {"http://former", "m"}, 1));
  begun.get_future().wait();
  prober.forget("s");
  EXPECT_FALSE(prober.verdict("s", {"http://new", "m"}, 2));
  gate.set_value();
  EXPECT_EQ(first.get_future().get(), "TransferFailed");
}

// ---- over the wire

TEST(HttpProbe, SendsOneTokenWithAPromptOfItsOwn) {
  SystemClock clock;
  SystemRandom random;
  kube::testing::ScriptedApi server(
      [](const kube::testing::ScriptedApi::Request&, kube::testing::ScriptedApi::Connection& c) {
        c.answer(200, "{}", "x-baton-remote-tokens: 3\r\n");
      });
  const auto send = probe_by_http(clock, random);
  const auto url = "http://" + http::to_string(server.access().server) + "/ns/s";
  for (int i = 0; i < 2; ++i) {
    const auto head = send({url, "m"}, Deadline::in(clock, std::chrono::seconds(10)));
    ASSERT_TRUE(head) << head.error().message();
    EXPECT_EQ(head->headers.get("x-baton-remote-tokens"), "3");
  }
  const auto seen = server.seen();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(server.lines().front(), "POST /ns/s/v1/completions");
  const auto body = *text::json::parse(seen[0].body);
  EXPECT_EQ(body.string_at({"model"}), "m");
  EXPECT_EQ(*body.find("max_tokens"), kube::Object(1));
  const auto prompt = body.string_at({"prompt"});
  EXPECT_GT(prompt.size(), 900U);
  EXPECT_NE(prompt.substr(0, 40),
            text::json::parse(seen[1].body)->string_at({"prompt"}).substr(0, 40))
      << "from its first characters on, or a prefix of it would be known";
  EXPECT_FALSE(seen[0].headers.has("authorization"));
}

TEST(HttpProbe, SaysWhyNobodyAnswers) {
  SystemClock clock;
  SystemRandom random;
  const auto send = probe_by_http(clock, random);
  const auto soon = Deadline::in(clock, std::chrono::seconds(10));
  EXPECT_THAT(send({"http://127.0.0.1:1/ns/s", "m"}, soon).error().message(),
              HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(send({"http://[x", "m"}, soon).error().message(), HasSubstr("is no address"));
}

}  // namespace
}  // namespace baton::reconcile
