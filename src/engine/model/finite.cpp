#include "engine/model/finite.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/core/assert.hpp"

namespace baton::model {
namespace {

// All bits of the exponent are set. Whole stretches are looked at without a branch, for the
// compiler to do many at once.
template <class Word, Word kExponent>
std::optional<std::size_t> find(std::span<const std::byte> data) {
  constexpr std::size_t kStretch = 4096;  // elements
  std::array<Word, kStretch> words;
  const std::size_t count = data.size() / sizeof(Word);
  for (std::size_t at = 0; at < count; at += kStretch) {
    const std::size_t here = std::min(kStretch, count - at);
    std::memcpy(words.data(), data.data() + at * sizeof(Word), here * sizeof(Word));
    unsigned bad = 0;
    for (std::size_t i = 0; i < here; ++i) {
      bad |= static_cast<unsigned>((words[i] & kExponent) == kExponent);
    }
    if (bad == 0) continue;
    const auto* first = std::find_if(words.data(), words.data() + here,
                                     [](Word word) { return (word & kExponent) == kExponent; });
    return at + static_cast<std::size_t>(first - words.data());
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> first_non_number(std::span<const std::byte> data, tensor::Dtype dtype) {
  switch (dtype) {
    case tensor::Dtype::kF32:
      return find<std::uint32_t, 0x7f80'0000>(data);
    case tensor::Dtype::kBf16:
      return find<std::uint16_t, 0x7f80>(data);
    case tensor::Dtype::kF16:
      return find<std::uint16_t, 0x7c00>(data);
    case tensor::Dtype::kI8:
      return std::nullopt;
  }
  BATON_ASSERT(false);
}

}  // namespace baton::model
