#pragma once
// What each instruction set provides: one table of plain functions, filled by one file per
// instruction set. This header holds no inline function: those files are compiled with their own
// -march, and the linker may keep any copy of a shared inline function.
//
// Invariance: an output element depends on its own inputs only. Every reduction over `depth` is one
// chain in the order of `depth`, started at zero; every reduction over a row has a fixed tree. So
// neither the number of rows, nor who computes which panel, nor the block size shows in the result.

#include <cstddef>
#include <cstdint>

#include "engine/tensor/isa.hpp"

namespace baton::tensor {

// Positions per attention step.
inline constexpr std::size_t kSpan = 64;

enum class Store : bool { kSet, kAdd };

// Inputs per block of 8-bit activations.
inline constexpr std::size_t kBlock = 128;

// Activations as whole numbers in [-127, 127] times the block's scale, its largest magnitude by
// 127: rounded to nearest. A value that is no number makes the scale one, or an infinity.
struct I8Block {
  float scale;
  std::int32_t bias;    // -128 times the sum of `numbers`: what weights + 128 make too much
  std::uint32_t fours;  // of numbers that are in use: less than kBlock / 4 at the end of a row only
  std::int8_t numbers[kBlock];  // zero past the row's end
};

// What a kernel reads A as.
enum class Input : std::uint8_t { kF32, kBf16, kI8Blocks };

// C = A * panel, or C += A * panel. A panel is `panel_width` columns of a packed matrix:
//   f32, f16  [depth][panel_width]
//   bf16, i8  [depth / 2][panel_width][2]          pairs of consecutive depth; depth is even
//   i8 where A is I8Block: [ceil(depth / 4)][panel_width][4], each plus 128
// A is f32, or for bf16 and i8 panels what the table says.
struct Gemm {
  const void* a = nullptr;
  std::size_t a_stride = 0;  // elements
  const void* panel = nullptr;
  const float* scales = nullptr;  // of i8 panels: what a column's sum is multiplied with
  std::size_t rows = 0;
  std::size_t depth = 0;
  std::size_t columns = 0;  // written; <= panel_width
  float* c = nullptr;
  std::size_t c_stride = 0;  // elements
  Store store = Store::kSet;
};

// kSpan rows of K and V of one head, as f32 panels. Rows from `count` on become zero.
//   k  [kSpan / panel_width] panels of [head_dim][panel_width]  (transposed)
//   v  [ceil(head_dim / panel_width)] panels of [kSpan][panel_width]
struct SpanPack {
  const void* const* k_rows = nullptr;  // `count` pointers to head_dim elements
  const void* const* v_rows = nullptr;
  std::size_t count = 0;
  std::size_t head_dim = 0;
  float* k = nullptr;
  float* v = nullptr;
};

struct Kernels {
  Isa isa;
  std::size_t panel_width;
  Input bf16_input;  // what gemm_bf16 reads A as: not blocks
  Input i8_input;

  void (*gemm_f32)(const Gemm&);
  void (*gemm_f16)(const Gemm&);
  void (*gemm_bf16)(const Gemm&);
  void (*gemm_i8)(const Gemm&);

  // Rounds to nearest even.
  void (*to_bf16)(const float* in, std::size_t n, std::uint16_t* out);
  // ceil(n / kBlock) blocks. Null where no kernel reads them.
  void (*to_i8)(const float* in, std::size_t n, I8Block* out);
  // out = x / sqrt(mean(x^2) + eps) * weight
  void (*rms_norm)(const float* x, const float* weight, std::size_t n, float eps, float* out);
  // out = gate / (1 + exp(-gate)) * up. `out` may be `gate`.
  void (*silu_mul)(const float* gate, const float* up, std::size_t n, float* out);
  void (*scale)(float* x, std::size_t n, float factor);

  void (*pack_span_bf16)(const SpanPack&);
  void (*pack_span_f32)(const SpanPack&);
  // One step of the online softmax over kSpan scores, of which those in [from, valid) count, at
  // least one. They become exp(score - max), the others zero; `max` and `sum` are updated. Returns
  // the factor that what was summed before is to be scaled with.
  float (*softmax_step)(float* scores, std::size_t from, std::size_t valid, float* max, float* sum);
};

extern const Kernels kScalarKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Bf16Kernels;
#endif

// Contract: supported(isa).
const Kernels& kernels(Isa isa);

}  // namespace baton::tensor
