#include "engine/model/finite.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace baton::model {
namespace {

using tensor::Dtype;

template <class T>
std::optional<std::size_t> look(const std::vector<T>& values, Dtype dtype) {
  return first_non_number(std::as_bytes(std::span(values)), dtype);
}

TEST(Finite, FindsTheFirstThatIsNoNumberWhereverItIs) {
  for (const std::size_t size : {1, 7, 4096, 4097, 10000}) {
    for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
      std::vector<float> values(size, -std::numeric_limits<float>::max());
      EXPECT_EQ(look(values, Dtype::kF32), std::nullopt);
      values[at] = -std::numeric_limits<float>::infinity();
      EXPECT_EQ(look(values, Dtype::kF32), at);
      values[at] = std::nanf("");
      EXPECT_EQ(look(values, Dtype::kF32), at);
    }
  }
}

TEST(Finite, KnowsTheExponentsOfTheShortTypes) {
  using Words = std::vector<std::uint16_t>;
  EXPECT_EQ(look(Words{0x7f7f, 0xff7f, 0x7c00, 0}, Dtype::kBf16), std::nullopt);  // largest
  EXPECT_EQ(look(Words{0, 0x7fc0}, Dtype::kBf16), 1U);
  EXPECT_EQ(look(Words{0, 0xff80}, Dtype::kBf16), 1U);
  EXPECT_EQ(look(Words{0x7bff, 0xfbff}, Dtype::kF16), std::nullopt);
  EXPECT_EQ(look(Words{0x7bff, 0xfc00}, Dtype::kF16), 1U);
  EXPECT_EQ(look(Words{}, Dtype::kF16), std::nullopt);
}

}  // namespace
}  // namespace baton::model
