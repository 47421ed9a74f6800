#pragma once
// Leaves an engine alone that fails again and again. Pure: time is an argument.
//
//   closed --(failures in a row)--> open --(pause over)--> half-open: one probe at a time
//     ^                              ^                        |   |
//     |                              +--(probe failed: pause doubled)
//     +--------(any success)--------------------------------------+

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_map>

#include "base/core/clock.hpp"
#include "net/http/message.hpp"

namespace baton::sidecar {

struct BreakerSettings {
  int failures = 5;  // in a row that open it; 0: never
  Nanos pause = std::chrono::seconds(1);
  Nanos longest_pause = std::chrono::seconds(30);
};

class Breaker {
 public:
  enum class State : std::uint8_t { kClosed, kOpen, kHalfOpen };
  // Permission for one attempt, whose end must be told exactly once.
  enum class Pass : std::uint8_t { kOrdinary, kProbe };

  explicit Breaker(const BreakerSettings& settings) : settings_(settings), pause_(settings.pause) {}

  // nullopt: leave it alone.
  std::optional<Pass> admit(Mono now);
  void on_success();
  void on_failure(Pass pass, Mono now);
  // The attempt ended without telling anything about the engine: the client left.
  void on_abandoned(Pass pass, Mono now);

  State state() const { return state_; }

 private:
  void open(Mono now);

  BreakerSettings settings_;
  State state_ = State::kClosed;
  int failed_ = 0;
  Nanos pause_;
  Mono until_{};
};

// One for each prefill engine. Bounded: the one used longest ago is forgotten.
class Breakers {
 public:
  static constexpr std::size_t kMax = 1024;
  explicit Breakers(const BreakerSettings& settings) : settings_(settings) {}

  // Valid until the next call.
  Breaker& of(const http::Endpoint& endpoint);
  std::size_t size() const { return by_use_.size(); }

 private:
  using Entry = std::pair<std::string, Breaker>;
  BreakerSettings settings_;
  std::list<Entry> by_use_;  // latest first
  std::unordered_map<std::string, std::list<Entry>::iterator> known_;
};

}  // namespace baton::sidecar
