#pragma once
// A Llama-shaped transformer on the CPU: weights, and the forward pass over paged KV.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/core/result.hpp"
#include "engine/model/config.hpp"
#include "engine/model/kv_memory.hpp"
#include "engine/tensor/isa.hpp"
#include "engine/tensor/pages.hpp"
#include "engine/tensor/thread_pool.hpp"

namespace baton::model {

using tensor::best_isa;
using tensor::Isa;

// Consecutive tokens of one sequence, computed in one step.
struct Slice {
  std::span<const TokenId> tokens;     // not empty
  std::size_t position = 0;            // of tokens[0] in its sequence
  std::span<const BlockIndex> blocks;  // block table covering [0, position + tokens.size())
  enum class Logits : std::uint8_t { kNone, kLast, kAll } logits = Logits::kLast;
};

// How much KV of a slice is there while it is computed, and will not change: all layers of what
// lies before `begin`, and the first `layers` layers of what lies before `end`.
struct Stored {
  std::size_t slice = 0;           // index
  std::size_t begin = 0, end = 0;  // positions
  std::size_t layers = 0;
};

// Of the weights of layers and head, at load time; the embedding stays as it is.
enum class Quantization : bool { kNone, kInt8 };

struct LoadOptions {
  std::size_t threads = 1;
  tensor::ThreadGroups groups = {};    // instead: in groups, bound to CPUs
  std::optional<Isa> isa = {};         // default: best_isa()
  std::optional<KvType> kv_type = {};  // default: kF32 for f32 weights, else kBf16
  Quantization quantization = Quantization::kNone;
  // Bytes of the checkpoint that are laid out, of all; on the calling thread, after each matrix.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
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
  virtual tensor::PageKind weight_pages() const { return tensor::PageKind::kSmall; }
  // Called once by the thread that will call forward, which may be bound to a CPU by it.
  virtual void adopt_thread() {}

  // Writes K and V of every token of every slice into `kv` and appends the wanted logits to
  // `logits`, [rows, vocab] f32 in order of slices. Contract: tokens < vocab, KV of earlier
  // positions is there.
  virtual void forward(std::span<const Slice> slices, KvMemory& kv, std::vector<float>& logits) = 0;

  // Called by forward, on its thread, after each layer of each slice. Must not take long.
  void on_stored(std::function<void(const Stored&)> told) { on_stored_ = std::move(told); }

 protected:
  void tell_stored(const Stored& stored) const {
    if (on_stored_) on_stored_(stored);
  }

 private:
  std::function<void(const Stored&)> on_stored_;
};

}  // namespace baton::model
