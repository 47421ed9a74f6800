#pragma once
// Whether the decode engine lives: after an answer 500, or none at all, it is asked; while it is
// dead nothing is sent to it. Pure: time is an argument.
//
//   up --(500, or no answer)--> suspected --(probe well)--> up
//                                   |  ^ requests still go there
//                             (probe failed)
//                                   v
//                                 down --(probe well)--> up
//                                   requests are refused, a probe every kBetween

#include <cstdint>

#include "base/core/clock.hpp"

namespace baton::sidecar {

class DecoderHealth {
 public:
  static constexpr Nanos kBetween = std::chrono::seconds(1);
  static constexpr Nanos kProbeTimeout = std::chrono::seconds(5);  // vLLM's own is slow when busy
  enum class State : std::uint8_t { kUp, kSuspected, kDown };

  State state() const { return state_; }
  bool serves() const { return state_ != State::kDown; }

  // A request ended in a way that a dead engine explains. Whether a probe must begin now: one runs
  // at a time.
  [[nodiscard]] bool suspect() {
    if (state_ != State::kUp) return false;
    state_ = State::kSuspected;
    return true;
  }
  // What the probe found. Whether another one follows after kBetween.
  [[nodiscard]] bool probed(bool well) {
    state_ = well ? State::kUp : State::kDown;
    return !well;
  }

 private:
  State state_ = State::kUp;
};

}  // namespace baton::sidecar
