#include "roofline.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "cpu_time.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace baton::bench {
namespace {

constexpr std::size_t kRounds = 4;
constexpr std::size_t kChains = 12;  // more than latency times issue width
constexpr std::size_t kSteps = 1'000'000;
constexpr std::size_t kBytes = std::size_t{256} << 20;  // a thread reads: more than any cache

// `body` does `work`; the best rate of some rounds, summed over the threads.
template <class Body>
double rate(std::size_t threads, double work, Body body) {
  std::vector<double> best(threads);
  std::vector<std::thread> running;
  for (std::size_t thread = 0; thread < threads; ++thread) {
    running.emplace_back([&mine = best[thread], thread, work, body] {
      for (std::size_t i = 0; i < kRounds; ++i) {
        const double start = cpu_seconds();
        body(thread);
        mine = std::max(mine, work / (cpu_seconds() - start));
      }
    });
  }
  double sum = 0;
  for (std::size_t i = 0; i < threads; ++i) {
    running[i].join();
    sum += best[i];
  }
  return sum;
}

// Memory of huge pages where there are some, written once.
class Stretch {
 public:
  Stretch() {
    void* memory =
        mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    madvise(memory, kBytes, MADV_HUGEPAGE);
    std::memset(memory, 1, kBytes);
    data_ = static_cast<const std::uint64_t*>(memory);
  }
  ~Stretch() { munmap(const_cast<std::uint64_t*>(data_), kBytes); }
  Stretch(const Stretch&) = delete;
  Stretch& operator=(const Stretch&) = delete;

  const std::uint64_t* data() const { return data_; }

 private:
  const std::uint64_t* data_;
};

#if defined(__x86_64__)
// An empty instruction: the compiler must have the value in a register there, and may not know it.
[[gnu::target("avx512f,avx512bf16")]] void multiply_bf16(std::size_t /*thread*/) {
  __m512 sums[kChains];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  const __m512bh one = __builtin_bit_cast(__m512bh, _mm512_set1_epi32(0x3f803f80));
  for (std::size_t i = 0; i < kSteps; ++i) {
    for (__m512& sum : sums) {
      sum = _mm512_dpbf16_ps(sum, one, one);
      __asm__ __volatile__("" : "+v"(sum));
    }
  }
}

[[gnu::target("avx512f,avx512vnni")]] void multiply_8bit(std::size_t /*thread*/) {
  __m512i sums[kChains];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  const __m512i one = _mm512_set1_epi8(1);
  for (std::size_t i = 0; i < kSteps; ++i) {
    for (__m512i& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, one, one);
      __asm__ __volatile__("" : "+v"(sum));
    }
  }
}

[[gnu::target("avx2,fma")]] void multiply_f32(std::size_t /*thread*/) {
  __m256 sums[kChains];
  for (__m256& sum : sums) sum = _mm256_setzero_ps();
  const __m256 one = _mm256_set1_ps(1);
  for (std::size_t i = 0; i < kSteps; ++i) {
    for (__m256& sum : sums) {
      sum = _mm256_fmadd_ps(one, one, sum);
      __asm__ __volatile__("" : "+v"(sum));
    }
  }
}

[[gnu::target("avx2")]] void read_all(const std::uint64_t* data) {
  constexpr std::size_t kLane = 4;
  __m256i sums[8] = {};
  for (std::size_t i = 0; i < kBytes / 8; i += 8 * kLane) {
    for (std::size_t s = 0; s < 8; ++s) {
      const auto* at = reinterpret_cast<const __m256i*>(data + i + s * kLane);
      sums[s] = _mm256_add_epi64(sums[s], _mm256_loadu_si256(at));
    }
  }
  for (__m256i& sum : sums) __asm__ __volatile__("" : "+v"(sum));
}
#endif

}  // namespace

Roofline measure_roofline(tensor::Isa isa, Products products, std::size_t threads) {
  Roofline out;
#if defined(__x86_64__)
  constexpr double kProducts = double{kSteps} * kChains * 2;  // each is two operations
  if (isa == tensor::Isa::kAvx512Bf16) {
    out.flops = products == Products::k8Bit ? rate(threads, kProducts * 64, multiply_8bit)
                                            : rate(threads, kProducts * 32, multiply_bf16);
  } else if (tensor::supported(tensor::Isa::kAvx2)) {
    out.flops = rate(threads, kProducts * 8, multiply_f32);
  }
  if (tensor::supported(tensor::Isa::kAvx2)) {
    const std::vector<Stretch> memory(threads);
    out.bytes = rate(threads, kBytes, [&](std::size_t thread) { read_all(memory[thread].data()); });
  }
#endif
  return out;
}

}  // namespace baton::bench
