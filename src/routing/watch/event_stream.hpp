#pragma once
// What one engine publishes of its KV cache, put in order: numbers without gap, or a fresh start.
// Pure; times are arguments.
//
//   kDown ──connected──> kCatchingUp <──gap, restart── kFollowing
//                          │   ^  └──history up to now──────^
//                          │   └──its time is over── kCooling <──three replays without progress──┘
//
// Without a replay port there is no kCatchingUp: what was missed means that nothing is known, and
// the entries start anew. Picker reference 4.7, "Gap handling".

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"

namespace baton::watch {

inline constexpr Nanos kReplayCooldown = std::chrono::seconds(30);
inline constexpr Nanos kReplayRetry = std::chrono::seconds(1);
inline constexpr Nanos kReplayConfirm = std::chrono::seconds(1);    // for events between the first
                                                                    // history and the subscription
inline constexpr int kReplayAttempts = 3;                           // without progress
inline constexpr std::size_t kMaxHeldBack = std::size_t{32} << 20;  // bytes

// Who takes the events.
class EventTaker {
 public:
  virtual ~EventTaker() = default;
  virtual void apply(std::string_view payload) = 0;
  virtual void clear() = 0;
};

// Confined to its owner.
class EventStream {
 public:
  enum class Replays : bool { kNo, kYes };
  EventStream(Replays replays, EventTaker& taker) : replays_(replays), taker_(taker) {}

  void connected(Mono now);
  void lost();
  void live(std::uint64_t number, std::string payload, Mono now);

  // The number from which history is wanted now; at most once until it ended or failed.
  std::optional<std::uint64_t> take_request(Mono now);
  void replayed(std::uint64_t number, std::string_view payload);
  void replay_ended(Mono now);
  void replay_failed(Mono now);

  // Nothing is missing, as far as can be known.
  bool in_sync() const { return in_sync_; }
  // The number that comes next, as far as it was read.
  std::uint64_t position() const { return next_.value_or(0); }
  // When take_request() may have something to say.
  Mono due() const { return due_; }

  struct Counts {
    std::uint64_t gaps = 0, restarts = 0, truncated = 0, failures = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  enum class State : std::uint8_t { kDown, kCatchingUp, kFollowing, kCooling };
  struct Held {
    std::uint64_t number;
    std::string payload;
  };

  void start_over();
  void take(std::uint64_t number, std::string_view payload);
  void catch_up(Mono when);
  void hold(std::uint64_t number, std::string payload);

  const Replays replays_;
  EventTaker& taker_;
  State state_ = State::kDown;
  bool in_sync_ = false;
  bool confirmed_ = false;
  Mono due_ = Mono::max();
  std::optional<std::uint64_t> next_;  // expected number; nullopt: whatever comes
  std::uint64_t last_ = 0;             // digest of the payload before
  std::deque<Held> held_;              // live ones while history comes
  std::size_t held_bytes_ = 0;

  // Of the replay under way.
  std::optional<std::uint64_t> asked_;
  bool answered_ = false, progress_ = false;
  int fruitless_ = 0;
  Counts counts_;
};

}  // namespace baton::watch
