// AVX2 with FMA and F16C: weights are widened to f32 as they are read.

#include <immintrin.h>

#include "engine/tensor/kernels/kernels.hpp"

namespace baton::tensor {
namespace {

using Vec = __m256;
constexpr std::size_t kLanes = 8;
constexpr std::size_t kVectors = 2;
constexpr std::size_t kRows = 6;

// All ones in the first `lanes` lanes.
inline __m256i mask(std::size_t lanes) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const int count = lanes < kLanes ? static_cast<int>(lanes) : static_cast<int>(kLanes);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), index);
}

inline Vec load(const float* x) { return _mm256_loadu_ps(x); }
inline void store(float* x, Vec v) { _mm256_storeu_ps(x, v); }
inline Vec load_first(const float* x, std::size_t n) { return _mm256_maskload_ps(x, mask(n)); }
inline void store_first(float* x, Vec v, std::size_t n) { _mm256_maskstore_ps(x, mask(n), v); }
inline Vec first_lanes(Vec v, Vec rest, std::size_t n) {
  return _mm256_blendv_ps(rest, v, _mm256_castsi256_ps(mask(n)));
}
inline Vec set(float x) { return _mm256_set1_ps(x); }
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline float sum_lanes(Vec v) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
inline float max_lanes(Vec v) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
inline Vec round(Vec v) {
  return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// In two halves, as 2^n alone may be out of range.
inline Vec exp_scale(Vec v, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i rest = _mm256_sub_epi32(whole, half);
  const __m256i bias = _mm256_set1_epi32(127);
  const auto power = [&](__m256i exponent) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(exponent, bias), 23));
  };
  return _mm256_mul_ps(_mm256_mul_ps(v, power(half)), power(rest));
}

inline Vec load_f16(const std::uint16_t* x) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
}
inline Vec load_bf16(const std::uint16_t* x) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
inline void store_bf16(std::uint16_t* x, Vec v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  const __m256i out = _mm256_blendv_epi8(rounded, quiet, nan);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(out, out), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(x), _mm256_castsi256_si128(packed));
}

// Rows become columns: pairs, fours, then halves of the vectors change places.
inline void transpose(Vec (&rows)[kLanes]) {
  Vec t[kLanes];
  for (std::size_t i = 0; i < kLanes; i += 2) {
    t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
  for (std::size_t i = 0; i < kLanes; i += 4) {
    rows[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    rows[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    rows[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    rows[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(rows[i], rows[i + 4], 0x31);
  }
  for (std::size_t i = 0; i < kLanes; ++i) rows[i] = t[i];
}

#include "engine/tensor/kernels/simd.inl"

// A lane holds a pair of depths: the first in its low half, the second in its high half.
struct PanelBf16 {
  using Weight = std::uint16_t;
  using Input = float;
  static constexpr std::size_t kDepth = 2;
  template <std::size_t kTile>
  static void step(Vec (&sum)[kTile][kVectors], const Input* const (&a)[kTile], std::size_t k,
                   const Weight* w) {
    __m256i pairs[kVectors];
    Vec weights[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      pairs[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + v * 2 * kLanes));
      weights[v] = _mm256_castsi256_ps(_mm256_slli_epi32(pairs[v], 16));
    }
    for (std::size_t r = 0; r < kTile; ++r) {
      const Vec input = set(a[r][k]);
      for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = fma(input, weights[v], sum[r][v]);
    }
    const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
    for (std::size_t v = 0; v < kVectors; ++v) {
      weights[v] = _mm256_castsi256_ps(_mm256_and_si256(pairs[v], high));
    }
    for (std::size_t r = 0; r < kTile; ++r) {
      const Vec input = set(a[r][k + 1]);
      for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = fma(input, weights[v], sum[r][v]);
    }
  }
};

// As PanelBf16, from whole numbers.
struct PanelI8 {
  using Weight = std::int8_t;
  using Input = float;
  static constexpr std::size_t kDepth = 2;
  template <std::size_t kTile>
  static void step(Vec (&sum)[kTile][kVectors], const Input* const (&a)[kTile], std::size_t k,
                   const Weight* w) {
    __m256i pairs[kVectors];  // a lane holds two 16-bit numbers
    Vec weights[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v) {
      pairs[v] = _mm256_cvtepi8_epi16(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(w + v * 2 * kLanes)));
      weights[v] = _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(pairs[v], 16), 16));
    }
    for (std::size_t r = 0; r < kTile; ++r) {
      const Vec input = set(a[r][k]);
      for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = fma(input, weights[v], sum[r][v]);
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
      weights[v] = _mm256_cvtepi32_ps(_mm256_srai_epi32(pairs[v], 16));
    }
    for (std::size_t r = 0; r < kTile; ++r) {
      const Vec input = set(a[r][k + 1]);
      for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] = fma(input, weights[v], sum[r][v]);
    }
  }
};

}  // namespace

extern const Kernels kAvx2Kernels = {
    .isa = Isa::kAvx2,
    .panel_width = kWidth,
    .bf16_input = Input::kF32,
    .i8_input = Input::kF32,
    .gemm_f32 = gemm<PanelF32>,
    .gemm_f16 = gemm<PanelF16>,
    .gemm_bf16 = gemm<PanelBf16>,
    .gemm_i8 = gemm<PanelI8>,
    .to_bf16 = to_bf16,
    .to_i8 = nullptr,
    .rms_norm = rms_norm,
    .silu_mul = silu_mul,
    .scale = scale,
    .pack_span_bf16 = pack_span<RowBf16>,
    .pack_span_f32 = pack_span<RowF32>,
    .softmax_step = softmax_step,
};

}  // namespace baton::tensor
