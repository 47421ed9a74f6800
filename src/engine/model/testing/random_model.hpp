#pragma once
// Model folders with random weights, for tests and benchmarks.

#include <cstdint>
#include <filesystem>

#include "base/core/result.hpp"
#include "engine/model/config.hpp"
#include "engine/tensor/dtype.hpp"

namespace baton::model::testing {

// Writes config.json and model.safetensors with weights of about unit gain: same seed, same bytes.
Status write_random_model(const std::filesystem::path& folder, const Config& config,
                          tensor::Dtype dtype, std::uint64_t seed);

// 2 layers, 6 heads on 2 KV heads: small, with sizes that are no multiple of a vector.
Config small_config();

// The same with norms of heads, and a window in the second layer (qk_norm goes with windows).
Config small_windowed_config();

}  // namespace baton::model::testing
