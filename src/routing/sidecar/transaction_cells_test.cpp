// The fault matrix on the state machine alone: who fails, how, and when, each cell by its name and
// under every policy. (Every sequence of outcomes is in transaction_matrix_test.cpp, cells with
// processes in tests/integration/test_fault_matrix.py.)

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "routing/sidecar/transaction.hpp"

namespace baton::sidecar {
namespace {

using Kind = Leg::Kind;
using std::chrono::seconds;

enum class Who : std::uint8_t { kPrefill, kDecode, kSidecar, kClient };
enum class How : std::uint8_t { kKill, kPause, kReset, kSlow, kGarbage, kHalfClose };
enum class When : std::uint8_t {
  kConnect,
  kBody,
  kPrefillRunning,
  kBetweenLegs,
  kTransfer,
  kFirstToken,
  kMidStream,
  kEnd
};
constexpr std::array<const char*, 4> kWho = {"prefill", "decode", "sidecar", "client"};
constexpr std::array<const char*, 6> kHow = {"kill", "pause",   "reset",
                                             "slow", "garbage", "half-close"};
constexpr std::array<const char*, 8> kWhen = {"connect",      "body",     "prefill running",
                                              "between legs", "transfer", "first token",
                                              "mid-stream",   "end"};

struct Cell {
  Who who;
  How how;
  When when;
  bool hangs() const { return how == How::kPause || how == How::kSlow; }
};

constexpr Nanos kLimit = seconds(60);
constexpr Nanos kStall = seconds(40);  // of a sidecar that stands still: longer than a lease

// Carries out what the machine asks for, as the edge does, and lets the one thing happen.
class Play {
 public:
  Play(Cell cell, Policy policy)
      : cell_(cell),
        fallback_(policy == Policy::kFallback),
        t_({.policy = policy}, Deadline::in(clock_, kLimit)) {
    start_ = clock_.now();
  }

  void run() {
    if (left(When::kConnect) || left(When::kBody)) return finish();
    if (cell_.who == Who::kClient && cell_.how == How::kGarbage && cell_.when <= When::kBody) {
      refused_ = true;  // no JSON: nothing begins
      return;
    }
    Action action = t_.begin(1, clock_.now());
    for (int steps = 0; !over() && steps < 20; ++steps) {
      if (action == Action::kPrefill) {
        action = prefill();
      } else if (action == Action::kDecode || action == Action::kDecodeLocally) {
        action = decode(action);
      } else if (action == Action::kStream) {
        stream();
      } else {
        told_ = true;
        t_.on_sent();
      }
    }
    finish();
  }

  void check(const std::string& name) const {
    if (refused_ || killed_) return;  // a killed sidecar's leases end by themselves
    EXPECT_EQ(t_.state(), State::kDone) << name;
    const Nanos stall = cell_.who == Who::kSidecar && cell_.hangs() ? kStall : Nanos();
    EXPECT_LE(clock_.now() - start_, kLimit + stall) << name;
    EXPECT_EQ(granted_, pulled_ + released_) << name << ": KV stays pinned";
    EXPECT_TRUE(whole_ || told_ || broken_ || t_.outcome() == Outcome::kClientGone)
        << name << ": no reason is stated";
    if (whole_) EXPECT_FALSE(broken_) << name;
    const bool prefill = cell_.who == Who::kPrefill;
    if (prefill && fallback_ && (!cell_.hangs() || cell_.when < When::kBetweenLegs)) {
      EXPECT_TRUE(whole_) << name << ": the decode engine computes the prompt";
    }
    if (late_) EXPECT_TRUE(whole_ && t_.outcome() == Outcome::kDisaggregated) << name;
  }

 private:
  bool over() const { return killed_ || t_.state() == State::kDone; }
  bool here(Who who, When when) {
    bool is = !happened_ && cell_.who == who && cell_.when == when;
    happened_ = happened_ || is;
    return is;
  }

  // What happens to the sidecar and the client at a moment. True: there is nobody to go on.
  bool left(When when) {
    if (here(Who::kSidecar, when)) {
      if (cell_.how == How::kKill) killed_ = true;
      if (cell_.hangs()) clock_.advance(kStall);
      own_fault_ = !killed_ && !cell_.hangs();
    }
    bool stays =
        cell_.hangs() || cell_.how == How::kGarbage;  // garbage after a request is the next
    if (here(Who::kClient, when) && !stays) t_.on_client_gone();
    return over();
  }

  // How a leg ends on which this happens.
  Leg harmed(bool connecting) {
    if (cell_.hangs()) {
      Mono until = t_.leg_deadline(clock_.now()).at;
      if (until > clock_.now()) clock_.advance(until - clock_.now());
      return {.kind = Kind::kTimeout, .status = 0};
    }
    if (cell_.how == How::kGarbage) return {.kind = Kind::kBroken, .status = 0};
    bool nobody = connecting && cell_.how == How::kKill;
    return {.kind = nobody ? Kind::kRefused : Kind::kLost, .status = 0};
  }

  Action prefill() {
    release();
    std::optional<Leg> bad;
    for (When when : {When::kConnect, When::kBody, When::kPrefillRunning}) {
      if (left(when)) return Action::kFail;
      if (here(Who::kPrefill, when)) bad = harmed(when == When::kConnect);
    }
    if (std::exchange(own_fault_, false)) bad = Leg{.kind = Kind::kLost, .status = 0};
    if (bad) return t_.on_prefill(*bad, clock_.now());
    ++granted_;
    lease_ = clock_.now();
    return t_.on_prefill({.granted = lease_}, clock_.now());
  }

  Action decode(Action action) {
    if (left(When::kBetweenLegs)) return Action::kFail;
    const bool pull = action == Action::kDecode;
    if (pull) {
      Action agreed = t_.on_dispatch(clock_.now());
      if (agreed != Action::kDecode) return agreed;
      EXPECT_GE(lease_ + Tactics{}.lease - clock_.now(), Tactics{}.lease_margin) << "a stale lease";
    } else {
      release();
    }
    std::optional<Leg> bad;
    for (When when : {When::kConnect, When::kBody, When::kPrefillRunning, When::kBetweenLegs,
                      When::kTransfer, When::kFirstToken}) {
      if (when >= When::kTransfer && left(when)) return Action::kFail;
      if (here(Who::kDecode, when)) bad = harmed(when < When::kTransfer);
      bool gone = pull && when >= When::kBetweenLegs && when <= When::kTransfer;
      if (gone && here(Who::kPrefill, when)) {
        bad = cell_.hangs() ? harmed(false) : Leg{.status = 500};  // the engine lacks its KV
      }
    }
    if (std::exchange(own_fault_, false)) bad = Leg{.kind = Kind::kLost, .status = 0};
    if (bad && bad->kind == Kind::kBroken) bad->kind = Kind::kLost;  // no HTTP
    if (!bad && t_.owes_release()) ++pulled_;
    return t_.on_decode(bad.value_or(Leg{}), clock_.now());
  }

  void stream() {
    for (When when : {When::kMidStream, When::kEnd}) {
      if (left(when)) return;
      bool decode = here(Who::kDecode, when);
      bool client = here(Who::kClient, when) && cell_.hangs();
      if (!decode && !client && !own_fault_) continue;
      if (cell_.hangs()) clock_.advance(start_ + kLimit - clock_.now());
      broken_ = true;
      return t_.on_broken();
    }
    whole_ = true;
    late_ = !happened_;
    t_.on_sent();
  }

  void release() {
    if (!t_.owes_release()) return;
    t_.on_released();
    ++released_;
  }
  void finish() {
    if (!killed_) release();
  }

  Cell cell_;
  bool fallback_;
  ManualClock clock_;
  Mono start_{}, lease_{};
  Transaction t_;
  bool happened_ = false, own_fault_ = false, killed_ = false, refused_ = false;
  bool told_ = false, broken_ = false, whole_ = false;
  bool late_ = false;  // nothing of the request was left when it happened
  int granted_ = 0, pulled_ = 0, released_ = 0;
};

TEST(TransactionCells, EveryCellEndsInTimeWithAReasonAndNothingPinned) {
  int cells = 0;
  for (std::size_t who = 0; who < kWho.size(); ++who) {
    for (std::size_t how = 0; how < kHow.size(); ++how) {
      for (std::size_t when = 0; when < kWhen.size(); ++when) {
        for (Policy policy : {Policy::kRelay, Policy::kFallback, Policy::kStrict}) {
          Play play({static_cast<Who>(who), static_cast<How>(how), static_cast<When>(when)},
                    policy);
          play.run();
          play.check(fmt::format("{} {} {} {}", kWho[who], kHow[how], kWhen[when], name(policy)));
          ++cells;
        }
      }
    }
  }
  EXPECT_EQ(cells, 4 * 6 * 8 * 3);
}

}  // namespace
}  // namespace baton::sidecar
