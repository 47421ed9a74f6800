// "Numbers do not depend on company": the same tokens give the same bits of logits and KV however
// they are sliced, batched, paged and shared between threads. For every instruction set.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>

#include "base/core/random.hpp"
#include "base/core/testing/temporary_folder.hpp"
#include "engine/model/model.hpp"
#include "engine/model/testing/random_model.hpp"

namespace baton::model {
namespace {

using Tokens = std::vector<TokenId>;

constexpr std::size_t kLengths[] = {1, 15, 16, 17, 63, 64, 65, 130, 333};

std::vector<Tokens> sequences(const Config& config) {
  SeededRandom random(7);
  std::vector<Tokens> out;
  for (const std::size_t length : kLengths) {
    Tokens tokens(length);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random.below(config.vocab));
    out.push_back(std::move(tokens));
  }
  return out;
}

// What a run leaves behind for a sequence: the logits of every position, and the rows of its KV.
struct Outcome {
  std::vector<float> logits;
  std::vector<std::byte> kv;
};

// Block tables of sequences, scattered over one memory.
class Pages {
 public:
  Pages(const KvShape& shape, std::size_t block_size, const std::vector<Tokens>& all,
        Random& random)
      : kv_(shape, total(block_size, all), block_size) {
    std::vector<BlockIndex> free(kv_.blocks());
    for (std::size_t i = 0; i < free.size(); ++i) free[i] = BlockIndex(i);
    for (std::size_t i = free.size(); i > 1; --i) std::swap(free[i - 1], free[random.below(i)]);
    // NaN wherever nothing is written: whoever reads it, shows it.
    for (std::size_t l = 0; l < shape.layers; ++l) {
      std::memset(kv_.row(l, BlockIndex{}, 0), 0xff, kv_.blocks() * block_size * shape.row_bytes());
    }
    for (const Tokens& tokens : all) {
      const std::size_t count = (tokens.size() + block_size - 1) / block_size;
      tables_.emplace_back(free.end() - static_cast<std::ptrdiff_t>(count), free.end());
      free.resize(free.size() - count);
    }
  }

  KvMemory& kv() { return kv_; }
  const std::vector<BlockIndex>& table(std::size_t sequence) const { return tables_[sequence]; }
  std::vector<std::byte> rows(std::size_t sequence, std::size_t tokens) const {
    std::vector<std::byte> out;
    for (std::size_t layer = 0; layer < kv_.shape().layers; ++layer) {
      for (std::size_t i = 0; i < tokens; ++i) {
        const BlockIndex block = tables_[sequence][i / kv_.block_size()];
        const std::byte* row = kv_.row(layer, block, i % kv_.block_size());
        out.insert(out.end(), row, row + kv_.shape().row_bytes());
      }
    }
    return out;
  }

 private:
  static std::size_t total(std::size_t block_size, const std::vector<Tokens>& all) {
    std::size_t blocks = 3;
    for (const Tokens& tokens : all) blocks += (tokens.size() + block_size - 1) / block_size;
    return blocks;
  }

  KvMemory kv_;
  std::vector<std::vector<BlockIndex>> tables_;
};

struct Company {
  std::size_t block_size;
  std::size_t threads;
  std::size_t largest_slice;
  std::size_t largest_batch;  // sequences per step
};

// Runs every sequence to its end, in steps of random slices of random sequences.
std::vector<Outcome> run(Model& model, const std::vector<Tokens>& all, const Company& company,
                         std::uint64_t seed) {
  SeededRandom random(seed);
  Pages pages(model.kv_shape(), company.block_size, all, random);
  std::vector<Outcome> out(all.size());
  std::vector<std::size_t> done(all.size(), 0);
  const std::size_t vocab = model.config().vocab;
  for (;;) {
    std::vector<std::size_t> waiting;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (done[i] < all[i].size()) waiting.push_back(i);
    }
    if (waiting.empty()) break;
    for (std::size_t i = waiting.size(); i > 1; --i) {
      std::swap(waiting[i - 1], waiting[random.below(i)]);
    }
    waiting.resize(std::min(waiting.size(), 1 + random.below(company.largest_batch)));
    std::vector<Slice> slices;
    for (const std::size_t i : waiting) {
      const std::size_t left = all[i].size() - done[i];
      const std::size_t count = std::min(left, 1 + random.below(company.largest_slice));
      slices.push_back({.tokens = std::span(all[i]).subspan(done[i], count),
                        .position = done[i],
                        .blocks = pages.table(i),
                        .logits = Slice::Logits::kAll});
    }
    std::vector<float> logits;
    model.forward(slices, pages.kv(), logits);
    const float* next = logits.data();
    for (std::size_t s = 0; s < slices.size(); ++s) {
      const std::size_t n = slices[s].tokens.size();
      std::vector<float>& mine = out[waiting[s]].logits;
      mine.insert(mine.end(), next, next + n * vocab);
      next += n * vocab;
      done[waiting[s]] += n;
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) out[i].kv = pages.rows(i, all[i].size());
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Case {
  tensor::Isa isa;
  tensor::Dtype weights;
  KvType kv;
  Quantization quantization = Quantization::kNone;
};

class Invariance : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!tensor::supported(GetParam().isa)) GTEST_SKIP() << "this CPU does not run it";
  }
  void write(const Config& config) {
    ASSERT_TRUE(testing::write_random_model(folder_.path(), config, GetParam().weights, 3));
  }
  std::unique_ptr<Model> load(const tensor::ThreadGroups& groups) {
    auto model = Model::load(folder_.path(), {.groups = groups,
                                              .isa = GetParam().isa,
                                              .kv_type = GetParam().kv,
                                              .quantization = GetParam().quantization});
    EXPECT_TRUE(model) << model.error().message();
    return *std::move(model);
  }

  // One sequence at a time in one slice, against every company.
  void check();

  TemporaryFolder folder_;
};

void Invariance::check() {
  const auto alone = load(tensor::unbound(1));
  const std::vector<Tokens> all = sequences(alone->config());
  std::vector<Outcome> expected;
  for (const Tokens& tokens : all) {  // each alone, in one slice
    expected.push_back(run(*alone, {tokens}, {16, 1, 1 << 20, 1}, 1).front());
    EXPECT_TRUE(std::ranges::all_of(expected.back().logits, [](float x) { return x == x; }));
  }

  std::uint64_t seed = 100;
  for (const auto& [threads, groups] :
       {std::pair<std::size_t, std::size_t>{1, 1}, {2, 1}, {3, 2}}) {
    const auto model = load(tensor::unbound(threads, groups));
    for (const std::size_t block_size : {16, 32, 64, 5}) {
      for (const auto& [slice, batch] :
           {std::pair<std::size_t, std::size_t>{1, 20}, {7, 3}, {100, 4}, {400, 20}}) {
        const auto got = run(*model, all, {block_size, threads, slice, batch}, ++seed);
        for (std::size_t i = 0; i < all.size(); ++i) {
          ASSERT_TRUE(same_bits(got[i].logits, expected[i].logits))
              << all[i].size() << " tokens, " << threads << " threads in " << groups
              << " groups, blocks of " << block_size << ", slices up to " << slice << ", seed "
              << seed;
          ASSERT_EQ(got[i].kv, expected[i].kv) << "KV of " << all[i].size() << " tokens";
        }
      }
    }
  }
}

TEST_P(Invariance, SlicesBatchesBlocksAndThreadsLeaveNoTraceInTheBits) {
  write(testing::small_config());
  check();
}

TEST_P(Invariance, NorDoTheyWithWindowsAndNormsOfHeads) {
  write(testing::small_windowed_config());
  check();
}

std::string label(const ::testing::TestParamInfo<Case>& info) {
  constexpr const char* kWeights[] = {"f32", "f16", "bf16"};
  std::string name(tensor::name(info.param.isa));
  std::replace(name.begin(), name.end(), '-', '_');
  name += std::string("_") + kWeights[static_cast<std::size_t>(info.param.weights)];
  return info.param.quantization == Quantization::kNone ? name : name + "_int8";
}

constexpr Case kCases[] = {
    {tensor::Isa::kScalar, tensor::Dtype::kBf16, KvType::kBf16},
    {tensor::Isa::kScalar, tensor::Dtype::kF32, KvType::kF32},
    {tensor::Isa::kAvx2, tensor::Dtype::kBf16, KvType::kBf16},
    {tensor::Isa::kAvx2, tensor::Dtype::kF16, KvType::kBf16},
    {tensor::Isa::kAvx2, tensor::Dtype::kF32, KvType::kF32},
    {tensor::Isa::kAvx512Bf16, tensor::Dtype::kBf16, KvType::kBf16},
    {tensor::Isa::kAvx512Bf16, tensor::Dtype::kF16, KvType::kBf16},
    {tensor::Isa::kAvx512Bf16, tensor::Dtype::kF32, KvType::kF32},
    {tensor::Isa::kScalar, tensor::Dtype::kBf16, KvType::kBf16, Quantization::kInt8},
    {tensor::Isa::kAvx2, tensor::Dtype::kBf16, KvType::kBf16, Quantization::kInt8},
    {tensor::Isa::kAvx512Bf16, tensor::Dtype::kBf16, KvType::kBf16, Quantization::kInt8},
};
INSTANTIATE_TEST_SUITE_P(InstructionSets, Invariance, ::testing::ValuesIn(kCases), label);

}  // namespace
}  // namespace baton::model
