#pragma once
// What a request's masks, biases and penalties make of a row of logits. Pure.

#include <span>
#include <vector>

#include "engine/runtime/sampling.hpp"

namespace baton::runtime {

// Whether shape() changes anything.
bool shapes(const SamplingParams& params);

// The row in the order of vLLM (vllm-wire Appendix B, 2 to 4): allowed tokens and bad words (-inf),
// biases, then repetition, frequency and presence penalties. [vocab]
std::vector<float> shape(const Draw& draw, const SamplingParams& params);

}  // namespace baton::runtime
