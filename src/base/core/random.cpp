#include "base/core/random.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include "base/core/assert.hpp"

namespace baton {

std::uint64_t Random::below(std::uint64_t n) {
  BATON_ASSERT(n > 0);
  const std::uint64_t reject_under = (0 - n) % n;
  while (true) {
    const auto product = static_cast<unsigned __int128>(next()) * n;
    if (static_cast<std::uint64_t>(product) >= reject_under) {
      return static_cast<std::uint64_t>(product >> 64);
    }
  }
}

std::uint64_t SeededRandom::next() {
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

std::uint64_t SystemRandom::next() {
  std::uint64_t value = 0;
  // getrandom never returns short for 8 bytes once the pool is initialised (getrandom(2)).
  BATON_ASSERT(::getrandom(&value, sizeof value, 0) == sizeof value);
  return value;
}

std::string random_hex(Random& random, std::size_t bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes; ++i) out += fmt::format("{:02x}", random.next() & 0xff);
  return out;
}

std::string uuid4(Random& random) {
  const std::uint64_t high = (random.next() & ~0xf000ULL) | 0x4000ULL;
  const std::uint64_t low = (random.next() & ~(3ULL << 62)) | (2ULL << 62);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xffff,
                     high & 0xffff, low >> 48, low & 0xffffffffffffULL);
}

}  // namespace baton
