#pragma once
// Whether the decode engine lives: once it fails a readiness check it is asked again and again;
// while it is dead no generation request is sent to it. Pure: time is an argument.
//
//   up --(check failed)-------> suspected --(probe well)--> up
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

  // It did not pass a check. Whether a probe must begin now: one runs at a time.
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
