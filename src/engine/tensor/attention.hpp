#pragma once
// Causal attention of one group of query heads over the KV of their one KV head.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/tensor/kernels/kernels.hpp"
#include "engine/tensor/paged_rows.hpp"

namespace baton::tensor {

// A few consecutive tokens of one sequence and the query heads that share a KV head.
//   q    [tokens][group][head_dim] f32, rotated; tokens are `q_stride` elements apart
//   out  the same shape, tokens `out_stride` apart
struct Attention {
  const float* q = nullptr;
  std::size_t q_stride = 0;
  std::size_t tokens = 0;
  std::size_t group = 0;
  std::size_t head_dim = 0;
  std::size_t position = 0;  // of the first token
  std::size_t window = 0;    // positions a token sees, itself included; 0: all before it
  float scale = 1;           // of Q times K
  enum class Kv : std::uint8_t { kBf16, kF32 } kv = Kv::kBf16;
  PagedRows rows;            // of the layer, for positions [0, position + tokens)
  std::size_t k_offset = 0;  // bytes from a row to this head's K
  std::size_t v_offset = 0;
  float* out = nullptr;
  std::size_t out_stride = 0;
};

// Working memory of one thread.
class AttentionScratch {
 public:
  // Online softmax (Milakov and Gimelshein 2018) over spans of kSpan positions that start at
  // multiples of kSpan: the result of a token does not depend on the block size, nor on which other
  // tokens are computed with it.
  void run(const Kernels& kernels, const Attention& task);

 private:
  void reset(const Kernels& kernels, const Attention& task);
  void load_queries(const Kernels& kernels, const Attention& task);
  void pack(const Kernels& kernels, const Attention& task, std::size_t start);
  void step(const Kernels& kernels, const Attention& task, std::size_t start);
  void store(const Kernels& kernels, const Attention& task);

  std::vector<float> q_, k_, v_, scores_, out_, max_, sum_;
};

}  // namespace baton::tensor
