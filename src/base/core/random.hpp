#pragma once
// Randomness as an argument.

#include <cstdint>
#include <string>

namespace baton {

// Confined to its owner.
class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;

  // Uniform in [0, n). n > 0. Lemire's multiply-shift with rejection: no modulo bias.
  std::uint64_t below(std::uint64_t n);
  // Uniform in [0, 1), 53 bits.
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
};

// SplitMix64 (Steele, Lea, Flood 2014): same seed, same sequence, on every platform.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override;

 private:
  std::uint64_t state_;
};

// From the operating system: unguessable. Thread-safe.
class SystemRandom final : public Random {
 public:
  std::uint64_t next() override;
};

// `bytes` random bytes as lower-case hex.
std::string random_hex(Random& random, std::size_t bytes);
// A version 4 UUID (RFC 9562).
std::string uuid4(Random& random);

}  // namespace baton
