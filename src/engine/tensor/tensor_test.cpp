// Kernels: the vector ones against the scalar one, and each against itself in other company.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/core/random.hpp"
#include "engine/tensor/matrix.hpp"
#include "engine/tensor/thread_pool.hpp"

namespace baton::tensor {
namespace {

std::vector<float> random_floats(Random& random, std::size_t n, double scale = 1) {
  std::vector<float> out(n);
  for (float& x : out) x = static_cast<float>(scale * (2 * random.unit() - 1));
  return out;
}

// Values as `dtype` stores them, in random order of magnitude.
std::vector<std::byte> random_weights(Random& random, Dtype dtype, std::size_t n) {
  std::vector<std::byte> out(n * bytes_per_element(dtype));
  for (std::size_t i = 0; i < n; ++i) {
    const auto value = static_cast<float>(2 * random.unit() - 1);
    if (dtype == Dtype::kF32) {
      std::memcpy(&out[i * 4], &value, 4);
    } else {
      // As f16: exponents 8 to 15, so between 2^-7 and 1.
      const auto f16 =
          static_cast<std::uint16_t>((random.next() & 0x83ffU) | ((8 + random.below(7)) << 10));
      const std::uint16_t bits = dtype == Dtype::kBf16 ? to_bf16(value) : f16;
      std::memcpy(&out[i * 2], &bits, 2);
    }
  }
  return out;
}

// By a matrix of type `dtype`, from weights of that type; of f32 when it is kI8.
std::vector<float> multiply(const Kernels& k, const Source& weights, const std::vector<float>& a,
                            std::size_t rows, Dtype dtype) {
  Arena arena(weights.rows * weights.columns * 8 + 64 * weights.columns * 8);
  Matrix matrix(k, arena, dtype, {&weights, 1});
  Activations input(k);
  input.resize(dtype, rows, weights.columns);
  for (std::size_t r = 0; r < rows; ++r) {
    input.put(r, 0, &a[r * weights.columns], weights.columns);
    input.finish(r);
  }
  std::vector<float> out(rows * weights.rows, 0.5F);
  for (std::size_t p = 0; p < matrix.panels(); ++p) {
    matrix.pack(p, {&weights, 1});
    matrix.multiply(p, input, 0, rows, &out[p * k.panel_width], weights.rows, Store::kSet);
    matrix.multiply(p, input, 0, rows, &out[p * k.panel_width], weights.rows, Store::kAdd);
  }
  return out;
}

// `a` as the kernel of `dtype` reads it.
void round_rows(const Kernels& k, Dtype dtype, std::size_t depth, std::vector<float>& a) {
  if (dtype == Dtype::kBf16 && k.bf16_input == Input::kBf16) {
    for (float& x : a) x = from_bf16(to_bf16(x));
  }
  if (dtype != Dtype::kI8 || k.i8_input != Input::kI8Blocks) return;
  std::vector<I8Block> blocks((depth + kBlock - 1) / kBlock);
  for (std::size_t row = 0; row < a.size(); row += depth) {
    k.to_i8(&a[row], depth, blocks.data());
    for (std::size_t i = 0; i < depth; ++i) {
      const I8Block& block = blocks[i / kBlock];
      a[row + i] = block.scale * static_cast<float>(block.numbers[i % kBlock]);
    }
  }
}

class Vector : public ::testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!supported(GetParam())) GTEST_SKIP() << "this CPU does not run it";
  }
  const Kernels& kernels_ = kernels(supported(GetParam()) ? GetParam() : Isa::kScalar);
  SeededRandom random_{11};
};

constexpr Dtype kAll[] = {Dtype::kF32, Dtype::kF16, Dtype::kBf16, Dtype::kI8};
Dtype source_of(Dtype dtype) { return dtype == Dtype::kI8 ? Dtype::kF32 : dtype; }

TEST_P(Vector, ProductsMatchTheScalarKernelOverRaggedShapes) {
  for (const Dtype dtype : kAll) {
    for (int round = 0; round < 40; ++round) {
      const std::size_t rows = 1 + random_.below(30);
      const std::size_t depth = 2 * (1 + random_.below(200));
      const std::size_t outputs = 1 + random_.below(100);
      const auto bytes = random_weights(random_, source_of(dtype), outputs * depth);
      std::vector<float> a = random_floats(random_, rows * depth);
      round_rows(kernels_, dtype, depth, a);
      const Source source{source_of(dtype), bytes.data(), outputs, depth};

      const auto expected = multiply(kScalarKernels, source, a, rows, dtype);
      const auto got = multiply(kernels_, source, a, rows, dtype);

      // Sums of `depth` terms of at most 1, twice.
      const double bound = 2 * static_cast<double>(depth) * 2e-7;
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], bound);
    }
  }
}

TEST_P(Vector, AProductDoesNotDependOnTheRowsBesideIt) {
  for (const Dtype dtype : kAll) {
    constexpr std::size_t kDepth = 190, kOutputs = 45, kMany = 41;
    const auto bytes = random_weights(random_, source_of(dtype), kOutputs * kDepth);
    const auto a = random_floats(random_, kMany * kDepth);
    const Source source{source_of(dtype), bytes.data(), kOutputs, kDepth};
    const auto all = multiply(kernels_, source, a, kMany, dtype);
    for (std::size_t row = 0; row < kMany; ++row) {
      const std::vector<float> one(&a[row * kDepth], &a[row * kDepth] + kDepth);
      const auto alone = multiply(kernels_, source, one, 1, dtype);
      // Bits, not values. NOLINTNEXTLINE(bugprone-suspicious-memory-comparison)
      ASSERT_EQ(0, std::memcmp(alone.data(), &all[row * kOutputs], kOutputs * sizeof(float)));
    }
  }
}

TEST_P(Vector, Bf16RoundsToNearestEven) {
  auto x = random_floats(random_, 333, 1e3);
  x[0] = 1.00390625F;  // half way between 1 and the next
  x[1] = 1.01171875F;  // half way, to an even one above
  x[2] = std::numeric_limits<float>::infinity();
  x[3] = 3.4e38F;  // rounds to infinity
  for (const std::size_t n : {1, 7, 16, 333}) {
    std::vector<std::uint16_t> got(n + 1, 0x1234);
    kernels_.to_bf16(x.data(), n, got.data());
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(got[i], to_bf16(x[i])) << x[i];
    EXPECT_EQ(got[n], 0x1234);
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::uint16_t rounded = 0;
  kernels_.to_bf16(&nan, 1, &rounded);
  EXPECT_TRUE(std::isnan(from_bf16(rounded)));
}

TEST_P(Vector, ElementwiseKernelsMatchTheScalarOnes) {
  for (const std::size_t n : {1, 3, 8, 15, 16, 17, 64, 576, 577}) {
    const auto x = random_floats(random_, n, 20);
    const auto y = random_floats(random_, n, 3);
    std::vector<float> expected(n), got(n);
    kScalarKernels.rms_norm(x.data(), y.data(), n, 1e-5F, expected.data());
    kernels_.rms_norm(x.data(), y.data(), n, 1e-5F, got.data());
    for (std::size_t i = 0; i < n; ++i) ASSERT_NEAR(got[i], expected[i], 1e-5);
    kScalarKernels.silu_mul(x.data(), y.data(), n, expected.data());
    kernels_.silu_mul(x.data(), y.data(), n, got.data());
    for (std::size_t i = 0; i < n; ++i) ASSERT_NEAR(got[i], expected[i], 2e-5);
  }
}

TEST_P(Vector, SiluOfExtremeValuesIsFinite) {
  const std::array<float, 6> gate = {-1e30F, -200, -88, 0, 88, 1e30F};
  const std::array<float, 6> one = {1, 1, 1, 1, 1, 1};
  std::array<float, 6> out{};
  kernels_.silu_mul(gate.data(), one.data(), 6, out.data());
  EXPECT_NEAR(out[1], 0, 1e-30);
  EXPECT_NEAR(out[2], 0, 1e-30);
  EXPECT_EQ(out[3], 0);
  EXPECT_EQ(out[4], 88);
  EXPECT_EQ(out[5], 1e30F);
}

TEST_P(Vector, WholeNumbersAreWithinHalfAScaleOfTheirWeights) {
  constexpr std::size_t kDepth = 62, kOutputs = 45;
  auto weights = random_floats(random_, kOutputs * kDepth, 3);
  std::fill_n(weights.begin(), kDepth, 0.0F);                    // a row of zeros
  weights[5 * kDepth] = std::numeric_limits<float>::infinity();  // and one that is none
  const Source source{Dtype::kF32, reinterpret_cast<const std::byte*>(weights.data()), kOutputs,
                      kDepth};
  Arena arena(1 << 20);
  Matrix matrix(kernels_, arena, Dtype::kI8, {&source, 1});
  for (std::size_t p = 0; p < matrix.panels(); ++p) matrix.pack(p, {&source, 1});

  std::vector<float> row(kDepth);
  for (std::size_t n = 0; n < kOutputs; ++n) {
    matrix.unpack_row(n, row.data());
    float largest = 0;
    for (std::size_t k = 0; k < kDepth; ++k) {
      largest = std::max(largest, std::abs(weights[n * kDepth + k]));
    }
    for (std::size_t k = 0; k < kDepth; ++k) {
      if (n == 5) {
        ASSERT_TRUE(std::isnan(row[k]));
      } else {
        ASSERT_NEAR(row[k], weights[n * kDepth + k], largest / 127 / 2 * 1.001F);
      }
    }
  }
}

TEST_P(Vector, BlocksOfActivationsAreWithinHalfAScaleOfThem) {
  if (kernels_.to_i8 == nullptr) GTEST_SKIP() << "it reads none";
  constexpr std::size_t kCount = 2 * kBlock + 6;
  auto x = random_floats(random_, kCount, 7);
  std::fill_n(x.begin() + kBlock, kBlock, 0.0F);
  x[3] = -7;  // the largest, and it is negative
  std::array<I8Block, 3> blocks{};
  kernels_.to_i8(x.data(), kCount, blocks.data());

  EXPECT_EQ(blocks[0].numbers[3], -127);
  EXPECT_EQ(blocks[1].scale, 0);
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    const std::size_t count = std::min(kBlock, kCount - b * kBlock);
    EXPECT_EQ(blocks[b].fours, (count + 3) / 4);
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {
      const std::int8_t number = blocks[b].numbers[i];
      sum += number;
      const float exact = i < count ? x[b * kBlock + i] : 0;
      ASSERT_NEAR(number * blocks[b].scale, exact, blocks[b].scale * 0.5001F);
    }
    EXPECT_EQ(blocks[b].bias, -128 * sum);
  }
}

TEST_P(Vector, AnActivationThatIsNoNumberShowsInEveryProduct) {
  constexpr std::size_t kDepth = 2 * kBlock, kOutputs = 5;
  const auto weights = random_weights(random_, Dtype::kF32, kOutputs * kDepth);
  const Source source{Dtype::kF32, weights.data(), kOutputs, kDepth};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    auto a = random_floats(random_, kDepth);
    a[kBlock + 9] = bad;
    for (const float x : multiply(kernels_, source, a, 1, Dtype::kI8)) {
      ASSERT_FALSE(std::isfinite(x));
    }
  }
}

TEST_P(Vector, TheSoftmaxStepMatchesTheScalarOneAndIgnoresWhatIsMasked) {
  for (std::size_t valid = 1; valid <= kSpan; ++valid) {
    const std::size_t from = valid % 3 == 0 ? random_.below(valid) : 0;
    auto scores = random_floats(random_, kSpan, 30);
    for (std::size_t i = 0; i < kSpan; ++i) {
      if (i < from || i >= valid) scores[i] = 1e30F;
    }
    float max[2], sum[2], factor[2];
    std::vector<float> out[2] = {scores, scores};
    for (const int scalar : {0, 1}) {
      max[scalar] = valid % 2 == 0 ? -std::numeric_limits<float>::infinity() : 3.0F;
      sum[scalar] = valid % 2 == 0 ? 0.0F : 2.0F;
      factor[scalar] =
          (scalar == 1 ? kScalarKernels : kernels_)
              .softmax_step(out[scalar].data(), from, valid, &max[scalar], &sum[scalar]);
    }
    EXPECT_EQ(max[0], max[1]);
    EXPECT_NEAR(sum[0], sum[1], 1e-5 * sum[1]);
    EXPECT_NEAR(factor[0], factor[1], 1e-6);
    for (std::size_t i = 0; i < kSpan; ++i) ASSERT_NEAR(out[0][i], out[1][i], 1e-6);
    for (std::size_t i = 0; i < kSpan; ++i) {
      if (i < from || i >= valid) ASSERT_EQ(out[0][i], 0);
    }
  }
}

template <class Element>
void check_pack(const Kernels& k, void (*pack)(const SpanPack&), Random& random) {
  for (const std::size_t dim : {2, 10, 16, 24, 64, 80}) {
    for (const std::size_t count : {1, 15, 40, 64}) {
      std::vector<Element> keys(count * dim), values(count * dim);
      for (Element& x : keys) x = static_cast<Element>(random.below(250));
      for (Element& x : values) x = static_cast<Element>(random.below(250));
      std::vector<const void*> k_rows, v_rows;
      for (std::size_t j = 0; j < count; ++j) {
        k_rows.push_back(&keys[j * dim]);
        v_rows.push_back(&values[j * dim]);
      }
      const std::size_t padded = (dim + k.panel_width - 1) / k.panel_width * k.panel_width;
      std::vector<float> k_out(kSpan * dim, -1), v_out(kSpan * padded, -1);
      pack({k_rows.data(), v_rows.data(), count, dim, k_out.data(), v_out.data()});
      const auto widened = [](Element x) {
        if constexpr (std::is_same_v<Element, float>) return x;
        if constexpr (!std::is_same_v<Element, float>) return from_bf16(x);
      };
      for (std::size_t j = 0; j < kSpan; ++j) {
        for (std::size_t i = 0; i < dim; ++i) {
          const std::size_t w = k.panel_width;
          ASSERT_EQ(k_out[j / w * w * dim + i * w + j % w],
                    j < count ? widened(keys[j * dim + i]) : 0);
          ASSERT_EQ(v_out[i / w * w * kSpan + j * w + i % w],
                    j < count ? widened(values[j * dim + i]) : 0);
        }
      }
    }
  }
}

TEST_P(Vector, SpansArePackedWithZerosPastTheirEnd) {
  check_pack<float>(kernels_, kernels_.pack_span_f32, random_);
  check_pack<std::uint16_t>(kernels_, kernels_.pack_span_bf16, random_);
}

std::string label(const ::testing::TestParamInfo<Isa>& info) {
  return std::array{"scalar", "avx2", "avx512bf16"}[static_cast<std::size_t>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Kernels, Vector,
                         ::testing::Values(Isa::kScalar, Isa::kAvx2, Isa::kAvx512Bf16), label);

TEST(Dtype, F16WidensExactly) {
  EXPECT_EQ(from_f16(0x3c00), 1.0F);
  EXPECT_EQ(from_f16(0xc000), -2.0F);
  EXPECT_EQ(from_f16(0x0001), 0x1p-24F);
  EXPECT_EQ(from_f16(0x03ff), 1023 * 0x1p-24F);
  EXPECT_EQ(from_f16(0x7bff), 65504.0F);
  EXPECT_EQ(from_f16(0x7c00), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(from_f16(0x7e00)));
}

TEST(Matrix, WidensPartsOfDifferentTypesAndGivesRowsBack) {
  const std::array<float, 2> first = {1.5F, -2.25F};
  const std::array<std::uint16_t, 4> second = {to_bf16(3), to_bf16(4), to_bf16(5), to_bf16(6)};
  const std::array parts = {
      Source{Dtype::kF32, reinterpret_cast<const std::byte*>(first.data()), 1, 2},
      Source{Dtype::kBf16, reinterpret_cast<const std::byte*>(second.data()), 2, 2}};
  Arena arena(1 << 16);
  Matrix matrix(kScalarKernels, arena, common_type(parts), parts);
  matrix.pack(0, parts);
  std::array<float, 2> row{};
  matrix.unpack_row(0, row.data());
  EXPECT_EQ(row, first);
  matrix.unpack_row(2, row.data());
  EXPECT_EQ(row, (std::array<float, 2>{5, 6}));
}

TEST(ThreadPool, CallsEachItemOnceWhateverTheNumberOfThreads) {
  for (const std::size_t threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    for (std::size_t items = 0; items < 300; ++items) {
      std::vector<std::atomic<int>> calls(items);
      pool.run(items, [&](std::size_t item, std::size_t worker) {
        ASSERT_LT(worker, threads);
        calls[item].fetch_add(1);
      });
      for (const auto& count : calls) ASSERT_EQ(count.load(), 1);
    }
  }
}

TEST(ThreadPool, ALoopSeesWhatTheLoopBeforeItWrote) {
  ThreadPool pool(3);
  std::vector<std::size_t> values(64, 0);
  for (std::size_t round = 0; round < 2000; ++round) {
    pool.run(values.size(), [&](std::size_t i, std::size_t /*worker*/) {
      // Whoever wrote it last round: it must be there.
      values[i] = values[i] + 1;
    });
  }
  for (const std::size_t value : values) EXPECT_EQ(value, 2000U);
}

}  // namespace
}  // namespace baton::tensor
