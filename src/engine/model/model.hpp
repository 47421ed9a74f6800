#pragma once
// A Llama-shaped transformer on the CPU: weights, and the forward pass over paged KV.

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "engine/model/kv_memory.hpp"
#include "formats/token/token.hpp"

namespace baton::model {

using token::TokenId;

// config.json, with the field names of Hugging Face's LlamaConfig in mind.
struct Config {
  std::size_t vocab = 0;
  std::size_t hidden = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t ffn = 0;
  std::size_t max_positions = 0;  // max_position_embeddings
  float rms_eps = 1e-5F;
  double rope_theta = 10000;
  // rope_scaling of type llama3 or linear; 1 and absent mean none.
  struct RopeScaling {
    enum class Kind : std::uint8_t { kNone, kLinear, kLlama3 } kind = Kind::kNone;
    double factor = 1, low_freq_factor = 1, high_freq_factor = 4, original_max_positions = 8192;
  } rope_scaling;
  bool tied_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;
  std::vector<TokenId> eos;  // from generation_config.json when present, else config.json
};

// Consecutive tokens of one sequence, computed in one step.
struct Slice {
  std::span<const TokenId> tokens;     // not empty
  std::size_t position = 0;            // of tokens[0] in its sequence
  std::span<const BlockIndex> blocks;  // block table covering [0, position + tokens.size())
  enum class Logits : std::uint8_t { kNone, kLast, kAll } logits = Logits::kLast;
};

enum class Isa : std::uint8_t { kScalar, kAvx2, kAvx512Bf16 };
Isa best_isa();  // what this CPU runs

struct LoadOptions {
  std::size_t threads = 1;
  std::optional<Isa> isa;         // default: best_isa()
  std::optional<KvType> kv_type;  // default: kF32 for f32 weights, else kBf16
};

// Confined to the engine thread; owns its worker threads.
// Invariance: every logit and KV element depends only on its sequence's tokens (and the instruction
// set), never on the batch, slice boundaries, block size or thread count.
class Model {
 public:
  // `folder` holds config.json and model.safetensors (or an index of shards).
  // kNotFound: which file is missing. kInvalid: what is malformed or unsupported, and where.
  static Result<std::unique_ptr<Model>> load(const std::filesystem::path& folder,
                                             const LoadOptions& options);
  virtual ~Model() = default;

  virtual const Config& config() const = 0;
  virtual KvShape kv_shape() const = 0;
  virtual std::size_t weight_bytes() const = 0;

  // Writes K and V of every token of every slice into `kv` and appends the wanted logits to
  // `logits`, [rows, vocab] f32 in order of slices. Contract: tokens < vocab, KV of earlier
  // positions is there.
  virtual void forward(std::span<const Slice> slices, KvMemory& kv, std::vector<float>& logits) = 0;
};

}  // namespace baton::model
