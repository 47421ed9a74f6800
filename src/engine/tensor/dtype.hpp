#pragma once
// Element types of weights, and their conversion to and from f32.

#include <bit>
#include <cstddef>
#include <cstdint>

namespace baton::tensor {

// kI8: made at load time, with one scale an output (matrix.hpp); no checkpoint holds it.
enum class Dtype : std::uint8_t { kF32, kF16, kBf16, kI8 };

constexpr std::size_t bytes_per_element(Dtype t) {
  return t == Dtype::kF32 ? 4 : t == Dtype::kI8 ? 1 : 2;
}

constexpr float from_bf16(std::uint16_t h) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(h) << 16);
}

// Rounds to nearest even; a NaN stays a NaN.
constexpr std::uint16_t to_bf16(float f) {
  const auto bits = std::bit_cast<std::uint32_t>(f);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

constexpr float from_f16(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000U) << 16;
  const std::uint32_t magnitude = h & 0x7fffU;
  if (magnitude >= 0x7c00U) return std::bit_cast<float>(sign | 0x7f800000U | (magnitude << 13));
  if (magnitude < 0x0400U) {  // zero or subnormal: magnitude * 2^-24
    const float small = static_cast<float>(magnitude) * 0x1.0p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(small));
  }
  return std::bit_cast<float>(sign | ((magnitude << 13) + (112U << 23)));
}

}  // namespace baton::tensor
