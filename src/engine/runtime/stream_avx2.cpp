// Copies past the caches, for AVX2; this file alone is compiled with it.

#include <immintrin.h>

#include "engine/runtime/kv_rows.hpp"

namespace baton::runtime {

void detail::stream_avx2(std::byte* to, const std::byte* from, std::size_t bytes) {
  constexpr std::size_t kLine = 64, kAhead = 16 * kLine;
  const std::size_t lead = -reinterpret_cast<std::uintptr_t>(to) % kLine;
  const std::size_t head = lead < bytes ? lead : bytes;
  __builtin_memcpy(to, from, head);
  std::size_t at = head;
  for (; at + kLine <= bytes; at += kLine) {
    // Reading ahead of the end reads nothing.
    _mm_prefetch(reinterpret_cast<const char*>(from + at + kAhead), _MM_HINT_NTA);
    const auto* source = reinterpret_cast<const __m256i*>(from + at);
    auto* target = reinterpret_cast<__m256i*>(to + at);
    const __m256i low = _mm256_loadu_si256(source), high = _mm256_loadu_si256(source + 1);
    _mm256_stream_si256(target, low);
    _mm256_stream_si256(target + 1, high);
  }
  __builtin_memcpy(to + at, from + at, bytes - at);
  _mm_sfence();
}

}  // namespace baton::runtime
