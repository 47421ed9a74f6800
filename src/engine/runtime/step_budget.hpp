#pragma once
// How many prompt tokens a step may compute while others wait for their next token, so that the
// step ends in time. Learns what tokens cost from the steps before; answers do not depend on it.

#include <cstddef>
#include <optional>

#include "base/core/clock.hpp"

namespace baton::runtime {

// Confined to the engine thread.
class StepBudget {
 public:
  static constexpr std::size_t kLeast = 16;  // a prompt always gets on

  // nullopt: as many as there are.
  explicit StepBudget(std::optional<Nanos> target) : target_(target) {}

  struct Step {
    std::size_t decoding = 0;  // sequences
    std::size_t prompt = 0;    // tokens
    Nanos took{};
  };
  void learn(const Step& step);
  // Beside sequences that decode.
  std::size_t prompt_tokens() const;

 private:
  std::optional<Nanos> target_;
  double decode_ = 0;      // seconds of a step without prompts
  double per_token_ = -1;  // seconds; unknown: negative
};

}  // namespace baton::runtime
