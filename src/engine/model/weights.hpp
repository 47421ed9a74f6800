#pragma once
// The weights of a Llama-shaped transformer, packed for the kernels.

#include <filesystem>
#include <memory>
#include <vector>

#include "base/core/result.hpp"
#include "engine/model/config.hpp"
#include "engine/model/model.hpp"
#include "engine/tensor/arena.hpp"
#include "engine/tensor/matrix.hpp"
#include "engine/tensor/thread_pool.hpp"

namespace baton::model {

// Biases and norms of heads are empty where the model has none; biases of what is added to the
// residual stream are scaled already.
struct LayerWeights {
  std::vector<float> attention_norm;
  tensor::Matrix qkv;  // outputs: heads of Q, then of K, then of V
  std::vector<float> qkv_bias;
  std::vector<float> q_norm, k_norm;  // [head_dim]
  tensor::Matrix output;
  std::vector<float> output_bias;
  std::vector<float> ffn_norm;
  tensor::Matrix gate;
  std::vector<float> gate_bias;
  tensor::Matrix up;
  std::vector<float> up_bias;
  tensor::Matrix down;
  std::vector<float> down_bias;
};

// Immutable once loaded.
struct Weights {
  std::unique_ptr<tensor::Arena> arena;
  tensor::Matrix embedding;  // outputs: tokens
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;
  tensor::Matrix head;  // the embedding when tied, unless it is quantized

  tensor::Dtype dtype() const { return embedding.dtype(); }  // as the checkpoint has it
  std::size_t bytes() const { return arena->used(); }
};

// Reads and packs the checkpoint in `folder`; nothing of the files stays mapped.
// kNotFound: a missing file. kInvalid: a tensor that is missing, misshapen, of a type that is not a
// float, or not part of this architecture; named with its file.
Result<Weights> load_weights(const std::filesystem::path& folder, const Config& config,
                             const tensor::Kernels& kernels, tensor::ThreadPool& pool,
                             const LoadOptions& options);

}  // namespace baton::model
