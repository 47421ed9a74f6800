// 8-bit products: weights + 128, which are unsigned, times signed activations, four to a lane,
// summed exactly in whole numbers over a block; then in f32, one chain over the blocks. Included
// behind simd.inl.

struct PanelI8 {
  using Weight = std::uint8_t;
  using Input = I8Block;
  static constexpr std::size_t kDepth = kBlock;
  template <std::size_t kTile>
  static void step(Vec (&sum)[kTile][kVectors], const Input* const (&a)[kTile], std::size_t k,
                   const Weight* w) {
    const std::size_t block = k / kBlock;
    __m512i whole[kTile][kVectors];
    for (std::size_t r = 0; r < kTile; ++r) {
      for (auto& lanes : whole[r]) lanes = _mm512_set1_epi32(a[r][block].bias);
    }
    for (std::size_t i = 0; i < a[0][block].fours; ++i, w += 4 * kWidth) {
      __m512i weights[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) {
        weights[v] = _mm512_loadu_si512(w + v * 4 * kLanes);
      }
      for (std::size_t r = 0; r < kTile; ++r) {
        int four;
        __builtin_memcpy(&four, a[r][block].numbers + 4 * i, sizeof four);
        for (std::size_t v = 0; v < kVectors; ++v) {
          whole[r][v] = _mm512_dpbusd_epi32(whole[r][v], weights[v], _mm512_set1_epi32(four));
        }
      }
    }
    for (std::size_t r = 0; r < kTile; ++r) {
      const Vec scale = set(a[r][block].scale);
      for (std::size_t v = 0; v < kVectors; ++v) {
        sum[r][v] = fma(_mm512_cvtepi32_ps(whole[r][v]), scale, sum[r][v]);
      }
    }
  }
};

// The largest magnitude. Bits of magnitudes are in the order of their values, infinity and what is
// no number above all.
float largest_of(const float* in, std::size_t n) {
  __m512i largest = _mm512_setzero_si512();
  for_vectors(n, [&](std::size_t i, std::size_t lanes) {
    const __m512i bits = _mm512_castps_si512(load_some(in + i, lanes));
    largest = _mm512_max_epu32(largest, _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff)));
  });
  return __builtin_bit_cast(float, _mm512_reduce_max_epu32(largest));
}

void to_i8(const float* in, std::size_t n, I8Block* out) {
  for (; n > 0; ++out) {
    const std::size_t count = n < kBlock ? n : kBlock;
    const float largest = largest_of(in, count);
    const Vec factor = set(largest > 0 ? 127 / largest : 0.0F);
    __m512i sum = _mm512_setzero_si512();
    for (std::size_t i = 0; i < kBlock; i += kLanes) {
      const Vec x = load_first(in + i, i < count ? count - i : 0);
      const __m128i numbers = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(mul(x, factor)));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out->numbers + i), numbers);
      sum = _mm512_add_epi32(sum, _mm512_cvtepi8_epi32(numbers));
    }
    out->scale = largest / 127;
    out->bias = -128 * _mm512_reduce_add_epi32(sum);
    out->fours = static_cast<std::uint32_t>((count + 3) / 4);
    in += count;
    n -= count;
  }
}
