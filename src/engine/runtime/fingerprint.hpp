#pragma once
// What tells whether two engines compute the same KV: the model's configuration, weights, and what
// they are rounded to.

#include <filesystem>

#include "base/core/result.hpp"
#include "engine/model/model.hpp"
#include "formats/kv/block_hash.hpp"

namespace baton::runtime {

// Of config.json and every *.safetensors file in `folder`, by name, size and content. Reads it all.
// kNotFound: no such folder or file. kUnavailable: cannot be read.
Result<kv::Digest> fingerprint_model(const std::filesystem::path& folder,
                                     model::Quantization quantization = model::Quantization::kNone);

}  // namespace baton::runtime
