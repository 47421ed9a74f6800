#pragma once
// Rotary position embedding, halves rotated against each other as Hugging Face stores Llama.

#include <cstddef>
#include <span>
#include <vector>

#include "engine/model/config.hpp"

namespace baton::model {

// Immutable.
class Rope {
 public:
  explicit Rope(const Config& config);

  // Writes cos and sin of every angle of `position`: [head_dim / 2] each.
  void angles(std::size_t position, float* cosines, float* sines) const;
  // Rotates `heads` heads of head_dim at `x`.
  void rotate(float* x, std::size_t heads, const float* cosines, const float* sines) const;

 private:
  std::vector<float> frequencies_;  // [head_dim / 2]
  double magnitude_ = 1;            // of cosines and sines
};

}  // namespace baton::model
