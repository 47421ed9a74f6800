#pragma once
// Whether the decode engine lives. Once it has been seen alive, an answer 500 or a failed readiness
// check makes the sidecar ask it; while it does not answer well it is asked again and again, and no
// generation request is sent to it. Pure: time is an argument.
//
//   new --(check well)--> up --(500, check failed)--> suspected --(probe well)--> up
//    |                                        ^           |  requests still go there
//    +------------------(500)-----------------+     (probe failed)
//    requests go there, too: it starts                    v
//                                                       down --(probe or check well)--> up
//                                  requests are refused, a probe every kBetween

#include <cstdint>
#include <utility>

#include "base/core/clock.hpp"

namespace baton::sidecar {

class DecoderHealth {
 public:
  static constexpr Nanos kBetween = std::chrono::seconds(1);
  static constexpr Nanos kProbeTimeout = std::chrono::seconds(5);  // vLLM's own is slow when busy
  enum class State : std::uint8_t { kNew, kUp, kSuspected, kDown };

  State state() const { return state_; }
  bool serves() const { return state_ != State::kDown; }

  // What a readiness check found, and an answer 500. Whether probes must begin now: one runs at a
  // time.
  [[nodiscard]] bool checked(bool well) {
    if (!well) return state_ == State::kUp && suspect();
    state_ = State::kUp;
    return false;
  }
  [[nodiscard]] bool suspect() {
    if (serves()) state_ = State::kSuspected;
    return !std::exchange(probed_, true);
  }
  // What the probe found. Whether another one follows after kBetween.
  [[nodiscard]] bool probed(bool well) {
    state_ = well ? State::kUp : State::kDown;
    probed_ = !well;
    return !well;
  }

 private:
  State state_ = State::kNew;
  bool probed_ = false;  // probes run
};

}  // namespace baton::sidecar
