// AVX-512 with BF16 and VNNI: bf16 weights meet activations rounded to bf16, 8-bit ones those in
// 8-bit blocks.

#include <immintrin.h>

#include "engine/tensor/kernels/kernels.hpp"

namespace baton::tensor {
namespace {

using Vec = __m512;
constexpr std::size_t kLanes = 16;
constexpr std::size_t kVectors = 2;
constexpr std::size_t kRows = 12;

inline __mmask16 mask(std::size_t lanes) {
  return lanes >= kLanes ? __mmask16{0xffff} : static_cast<__mmask16>((1U << lanes) - 1U);
}

inline Vec load(const float* x) { return _mm512_loadu_ps(x); }
inline void store(float* x, Vec v) { _mm512_storeu_ps(x, v); }
inline Vec load_first(const float* x, std::size_t n) { return _mm512_maskz_loadu_ps(mask(n), x); }
inline void store_first(float* x, Vec v, std::size_t n) { _mm512_mask_storeu_ps(x, mask(n), v); }
inline Vec first_lanes(Vec v, Vec rest, std::size_t n) {
  return _mm512_mask_blend_ps(mask(n), rest, v);
}
inline Vec set(float x) { return _mm512_set1_ps(x); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline float sum_lanes(Vec v) { return _mm512_reduce_add_ps(v); }
inline float max_lanes(Vec v) { return _mm512_reduce_max_ps(v); }
inline Vec round(Vec v) {
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec exp_scale(Vec v, Vec n) { return _mm512_scalef_ps(v, n); }

inline Vec load_f16(const std::uint16_t* x) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
}
inline Vec load_bf16(const std::uint16_t* x) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
inline void store_bf16(std::uint16_t* x, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(x),
                      __builtin_bit_cast(__m256i, _mm512_cvtneps_pbh(v)));
}

// Rows become columns: pairs, fours, then quarters of the vectors change places.
inline void transpose(Vec (&rows)[kLanes]) {
  Vec t[kLanes];
  for (std::size_t i = 0; i < kLanes; i += 2) {
    t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
  }
  for (std::size_t i = 0; i < kLanes; i += 4) {
    rows[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    rows[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    rows[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    rows[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(rows[i], rows[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    rows[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    rows[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    rows[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

#include "engine/tensor/kernels/simd.inl"

// A lane sums a pair of depths per step. Inputs are bf16 too.
struct PanelBf16 {
  using Weight = std::uint16_t;
  using Input = std::uint16_t;
  static constexpr std::size_t kDepth = 2;
  template <std::size_t kTile>
  static void step(Vec (&sum)[kTile][kVectors], const Input* const (&a)[kTile], std::size_t k,
                   const Weight* w) {
    __m512bh weights[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      weights[v] = __builtin_bit_cast(__m512bh, _mm512_loadu_si512(w + v * 2 * kLanes));
    }
    for (std::size_t r = 0; r < kTile; ++r) {
      int pair;
      __builtin_memcpy(&pair, a[r] + k, sizeof pair);
      const __m512bh both = __builtin_bit_cast(__m512bh, _mm512_set1_epi32(pair));
      for (std::size_t v = 0; v < kVectors; ++v) {
        sum[r][v] = _mm512_dpbf16_ps(sum[r][v], weights[v], both);
      }
    }
  }
};

#include "engine/tensor/kernels/vnni.inl"

}  // namespace

extern const Kernels kAvx512Bf16Kernels = {
    .isa = Isa::kAvx512Bf16,
    .panel_width = kWidth,
    .bf16_input = Input::kBf16,
    .i8_input = Input::kI8Blocks,
    .gemm_f32 = gemm<PanelF32>,
    .gemm_f16 = gemm<PanelF16>,
    .gemm_bf16 = gemm<PanelBf16>,
    .gemm_i8 = gemm<PanelI8>,
    .to_bf16 = to_bf16,
    .to_i8 = to_i8,
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .scale = scale,
    .pack_span_bf16 = pack_span<RowBf16>,
    .pack_span_f32 = pack_span<RowF32>,
    .softmax_step = softmax_step,
};

}  // namespace baton::tensor
