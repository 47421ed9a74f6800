// Every way a request can go: all sequences of outcomes of both legs, of clients that leave and of
// time that passes, under every policy. Whatever happens, the rules below hold.

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <tuple>

#include "routing/sidecar/transaction.hpp"

namespace baton::sidecar {
namespace {

using Kind = Leg::Kind;
using std::chrono::seconds;

const ManualClock kClock;
const Mono kStart = kClock.now();
constexpr Nanos kPatience = seconds(600);

enum class Phase : std::uint8_t {
  kFirstAttempt,
  kOtherHost,
  kSameHostAgain,
  kWaiting,
  kBetweenLegs,
  kDecodeWithKv,
  kDecodeWithout,
  kMidStream,
};

// One path through the machine, with a model of what the edge does.
struct Walk {
  Transaction t;
  Mono now = kStart;
  int granted = 0, pulled = 0, released = 0;
  int steps = 0;
  int attempts = 0;
  bool handed = false;          // the present handover was dispatched
  bool may_do_without = false;  // no KV, or too little of a lease
  bool blamed = false;          // the engine blamed the client
  bool denied = false;
  std::string path{};

  void release() {
    if (!t.owes_release()) return;
    t.on_released();
    ++released;
  }
};

class Explorer {
 public:
  explicit Explorer(const Tactics& tactics) : tactics_(tactics) {}

  void explore(std::size_t candidates) {
    candidates_ = candidates;
    Walk w{Transaction(tactics_, {kStart + kPatience})};
    Action action = w.t.begin(candidates, w.now);
    follow(std::move(w), action);
  }
  std::size_t paths() const { return paths_; }
  const std::set<std::tuple<Phase, Kind, int>>& cells() const { return cells_; }

 private:
  void require(bool holds, const Walk& w, const char* rule) {
    if (holds || ++broken_ > 5) return;
    ADD_FAILURE() << rule << " under " << name(tactics_.policy) << ":" << w.path;
  }

  void end(Walk w) {
    w.release();
    require(w.granted == w.pulled + w.released, w, "every lease is pulled or given back");
    require(w.t.state() == State::kDone, w, "every path ends");
    require(!name(w.t.outcome()).empty(), w, "every end has a name");
    ++paths_;
  }

  void leave(Walk w) {
    w.t.on_client_gone();
    require(w.t.outcome() == Outcome::kClientGone, w, "a client that leaves is told apart");
    end(std::move(w));
  }

  void follow(Walk w, Action action) {
    require(++w.steps < 40, w, "every path is short");
    if (w.steps >= 40) return;
    if (action != Action::kFail && action != Action::kRelayPrefill && action != Action::kStream) {
      leave(w);
    }
    switch (action) {
      case Action::kPrefill:
        return prefill(std::move(w));
      case Action::kWait:
        return wait(std::move(w));
      case Action::kDecode:
        return dispatch(std::move(w));
      case Action::kDecodeLocally:
        return decode_locally(std::move(w));
      case Action::kRelayPrefill:
        require(tactics_.policy != Policy::kFallback || w.blamed, w,
                "fallback relays only what blames the client");
        w.t.on_sent();
        require(w.t.outcome() == Outcome::kPrefillFailed, w, "a relayed failure is one");
        return end(std::move(w));
      case Action::kStream:
        return stream(std::move(w));
      case Action::kFail: {
        int status = w.t.status();
        require(status >= 502 && status <= 504, w, "an answer of ours says which side is at fault");
        w.t.on_sent();
        return end(std::move(w));
      }
    }
  }

  void prefill(Walk w) {
    w.release();
    require(w.t.candidate() < candidates_, w, "only candidates are asked");
    Deadline limit = w.t.leg_deadline(w.now);
    require(limit.at <= kStart + kPatience, w, "no attempt outlives the request");
    require(!limit.passed(w.now), w, "no attempt begins too late");
    require(++w.attempts <= static_cast<int>(2 * candidates_) + tactics_.retries, w,
            "attempts are bounded");
    Phase phase = w.attempts == 1                               ? Phase::kFirstAttempt
                  : w.path.find(" waited") == std::string::npos ? Phase::kOtherHost
                                                                : Phase::kSameHostAgain;
    for (int status : {200, 302, 400, 404, 429, 500, 503}) {
      Walk next = w;
      next.path += " p" + std::to_string(status);
      next.blamed = status == 400;
      if (status == 200) {
        ++next.granted;
        next.handed = false;
      }
      cells_.emplace(phase, Kind::kAnswered, status);
      Leg leg{.kind = Kind::kAnswered, .status = status, .granted = next.now};
      granted_ = next.now;
      Action action = next.t.on_prefill(leg, next.now);
      follow(std::move(next), action);
    }
    for (Kind kind : {Kind::kUnusable, Kind::kBroken, Kind::kRefused, Kind::kLost, Kind::kTimeout,
                      Kind::kOpen, Kind::kCutOff}) {
      Walk next = w;
      next.path += " p-" + std::to_string(static_cast<int>(kind));
      if (kind == Kind::kTimeout) next.now = limit.at;
      // A candidate that is not asked leaves the failure of the one before.
      if (kind != Kind::kOpen) {
        next.may_do_without = kind == Kind::kUnusable || kind == Kind::kCutOff;
      }
      cells_.emplace(phase, kind, 0);
      Action action = next.t.on_prefill({.kind = kind, .status = 0}, next.now);
      follow(std::move(next), action);
    }
  }

  void wait(Walk w) {
    require(w.t.wait_until() < kStart + kPatience, w, "no wait outlives the request");
    cells_.emplace(Phase::kWaiting, Kind::kAnswered, 0);
    w.now = w.t.wait_until();
    w.path += " waited";
    Action action = w.t.on_waited(w.now);
    follow(std::move(w), action);
  }

  // At once, and after the sidecar stood still for a while.
  void dispatch(Walk w) {
    const Mono granted = granted_;
    for (Nanos pause : {Nanos(), Nanos(seconds(26)), Nanos(seconds(3600))}) {
      Walk next = w;
      next.now = w.now + pause;
      next.path += pause == Nanos() ? " d" : " pause d";
      granted_ = granted;
      Action action = next.t.on_dispatch(next.now);
      cells_.emplace(Phase::kBetweenLegs, Kind::kAnswered, pause == Nanos() ? 0 : 1);
      if (action != Action::kDecode) {
        require(pause != Nanos(), next, "a fresh lease is used");
        next.may_do_without = true;
        follow(std::move(next), action);
        continue;
      }
      require(!next.handed, next, "a handover is sent once");
      require(granted + tactics_.lease - next.now >= tactics_.lease_margin, next,
              "decode has the margin of the lease to begin its pull");
      next.handed = true;
      decode(std::move(next), Phase::kDecodeWithKv);
    }
  }

  void decode_locally(Walk w) {
    bool asked = candidates_ > 0;
    w.release();
    require(!asked || tactics_.policy != Policy::kStrict, w, "strict never decodes without KV");
    require(!asked || tactics_.policy != Policy::kRelay || w.may_do_without, w,
            "relay decodes alone only where llm-d does, or a lease was short");
    if (w.t.wants_budget()) {
      Walk denied = w;
      denied.path += " no-budget";
      denied.denied = true;
      Action action = denied.t.on_no_budget();
      follow(std::move(denied), action);
    }
    w.path += " local";
    decode(std::move(w), Phase::kDecodeWithout);
  }

  void decode(Walk w, Phase phase) {
    leave(w);
    for (int status : {200, 400, 500, 503}) {
      for (bool pulled : {true, false}) {
        if (status != 200 && !pulled) continue;
        Walk next = w;
        next.path += " " + std::to_string(status);
        cells_.emplace(phase, Kind::kAnswered, status);
        if (status == 200 && pulled && next.t.owes_release()) ++next.pulled;
        Action action = next.t.on_decode({.status = status, .pulled = pulled}, next.now);
        follow(std::move(next), action);
      }
    }
    for (Kind kind : {Kind::kRefused, Kind::kLost, Kind::kTimeout}) {
      for (bool kept : {true, false}) {
        if (kind != Kind::kLost && kept) continue;
        Walk next = w;
        next.path += " -" + std::to_string(static_cast<int>(kind)) + (kept ? "k" : "");
        if (kind == Kind::kTimeout) next.now = next.t.leg_deadline(next.now).at;
        if (kept) next.may_do_without = true;
        cells_.emplace(phase, kind, kept ? 1 : 0);
        Action action = next.t.on_decode({.kind = kind, .status = 0, .kept = kept}, next.now);
        follow(std::move(next), action);
      }
    }
  }

  void stream(Walk w) {
    leave(w);
    Walk broken = w;
    broken.t.on_broken();
    require(broken.t.outcome() == Outcome::kDecodeFailed, broken, "a broken stream is counted");
    cells_.emplace(Phase::kMidStream, Kind::kLost, 0);
    end(std::move(broken));
    w.t.on_sent();
    cells_.emplace(Phase::kMidStream, Kind::kAnswered, 0);
    require(w.t.outcome() != Outcome::kClientGone, w, "a whole answer was delivered");
    end(std::move(w));
  }

  Tactics tactics_;
  std::size_t candidates_ = 0;
  Mono granted_{};
  std::size_t paths_ = 0;
  int broken_ = 0;
  std::set<std::tuple<Phase, Kind, int>> cells_;
};

TEST(TransactionMatrix, KeepsItsRulesOnEveryPath) {
  std::set<std::tuple<Phase, Kind, int>> cells;
  std::size_t paths = 0;
  for (Policy policy : {Policy::kRelay, Policy::kFallback, Policy::kStrict}) {
    for (std::size_t candidates : {0U, 1U, 2U}) {
      for (int retries : {0, 1}) {
        if (candidates == 2 && retries == 1 && policy == Policy::kStrict) continue;
        Explorer explorer({.policy = policy, .retries = retries});
        explorer.explore(candidates);
        cells.insert(explorer.cells().begin(), explorer.cells().end());
        paths += explorer.paths();
      }
    }
  }
  EXPECT_GT(paths, 10'000U);
  // 3 prefill phases x 14 outcomes, 1 wait, 2 ways between the legs, 2 decode phases x 8 outcomes,
  // 2 ends of a stream.
  EXPECT_EQ(cells.size(), 3U * 14 + 1 + 2 + 2 * 8 + 2);
}

}  // namespace
}  // namespace baton::sidecar
