// Logits against float32 transformers on random tiny models of each family
// (tests/golden/engine/SOURCE.md).

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "base/text/json.hpp"
#include "engine/model/model.hpp"

namespace baton::model {
namespace {

namespace json = text::json;

constexpr const char* kVariants[] = {
    "storyteller",       "gqa-tied-bf16",  "mha-untied-f32",      "ragged-f16", "llama3-rope-bf16",
    "bias-sharded-bf16", "v5-config-bf16", "mistral-window-bf16", "qwen2-bf16", "qwen2-window-f32",
    "qwen3-yarn-bf16",   "granite-bf16",   "granite-bias-f32"};

struct Prompt {
  std::vector<TokenId> tokens, greedy;
  std::vector<float> last_logits;
  double min_margin = 0;
};

template <class T>
std::vector<T> numbers(const json::Value& value) {
  std::vector<T> out;
  for (const json::Value& v : *value.if_array()) out.push_back(static_cast<T>(*v.if_double()));
  return out;
}

const std::filesystem::path kSource(BATON_SOURCE_DIR);

std::filesystem::path folder_of(std::string_view variant) {
  return variant == "storyteller" ? kSource / "models" / variant
                                  : kSource / "tests/golden/engine" / variant;
}

std::filesystem::path expectation_of(std::string_view variant) {
  return variant == "storyteller" ? kSource / "tests/golden/engine/storyteller-expect.json"
                                  : folder_of(variant) / "expect.json";
}

std::vector<Prompt> prompts_of(const std::string& variant) {
  std::ifstream in(expectation_of(variant));
  std::stringstream text;
  text << in.rdbuf();
  const auto value = json::parse(text.str());
  EXPECT_TRUE(value) << variant;
  std::vector<Prompt> out;
  for (const json::Value& p : *value->find("prompts")->if_array()) {
    out.push_back({numbers<TokenId>(*p.find("tokens")), numbers<TokenId>(*p.find("greedy")),
                   numbers<float>(*p.find("last_logits")), *p.find("min_margin")->if_double()});
  }
  return out;
}

// One sequence over its own KV memory, a step at a time.
class Sequence {
 public:
  Sequence(Model& model, std::size_t tokens)
      : model_(model), kv_(model.kv_shape(), (tokens + 15) / 16, 16) {
    for (std::size_t i = 0; i < kv_.blocks(); ++i) blocks_.push_back(BlockIndex(i));
  }
  std::vector<float> feed(std::span<const TokenId> tokens) {
    std::vector<float> logits;
    const Slice slice{.tokens = tokens, .position = position_, .blocks = blocks_};
    model_.forward({&slice, 1}, kv_, logits);
    position_ += tokens.size();
    return logits;
  }

 private:
  Model& model_;
  KvMemory kv_;
  std::vector<BlockIndex> blocks_;
  std::size_t position_ = 0;
};

struct Setup {
  tensor::Isa isa;
  KvType kv_type;
  double bound;  // of the largest error of a logit, as a part of the largest logit
};

void check(const std::string& variant, const Setup& setup) {
  const auto loaded = Model::load(folder_of(variant), {.isa = setup.isa, .kv_type = setup.kv_type});
  ASSERT_TRUE(loaded) << loaded.error().message();
  Model& model = **loaded;
  double worst = 0;
  for (const Prompt& prompt : prompts_of(variant)) {
    Sequence sequence(model, prompt.tokens.size() + prompt.greedy.size());
    std::vector<float> logits = sequence.feed(prompt.tokens);
    ASSERT_EQ(logits.size(), prompt.last_logits.size());
    double error = 0;
    double largest = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      error = std::max(error, std::abs(double{logits[i]} - prompt.last_logits[i]));
      largest = std::max(largest, std::abs(double{prompt.last_logits[i]}));
    }
    EXPECT_LE(error, setup.bound * largest) << variant << ", " << prompt.tokens.size() << " tokens";
    worst = std::max(worst, error / largest);
    if (error * 2 >= prompt.min_margin) continue;  // the reference says no more than this
    for (const TokenId expected : prompt.greedy) {
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      ASSERT_EQ(best, expected) << variant << ", " << prompt.tokens.size() << " tokens";
      logits = sequence.feed({&expected, 1});
    }
  }
  testing::Test::RecordProperty(variant, std::to_string(worst));
}

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, TheScalarKernelsAgreeWithTransformersToSinglePrecision) {
  check(GetParam(), {tensor::Isa::kScalar, KvType::kF32, 2e-5});
}

TEST_P(Golden, TheVectorKernelsAgreeWithTransformersToTheirPrecision) {
  for (const tensor::Isa isa : {tensor::Isa::kAvx2, tensor::Isa::kAvx512Bf16}) {
    if (!tensor::supported(isa)) continue;
    const bool rounds_activations = isa == tensor::Isa::kAvx512Bf16 &&
                                    !std::string_view(GetParam()).contains("f32") &&
                                    !std::string_view(GetParam()).contains("-f16");
    check(GetParam(), {isa, KvType::kF32, rounds_activations ? 3e-2 : 2e-5});
  }
}

TEST_P(Golden, Bf16KvKeepsTheLogitsWithinItsPrecision) {
  check(GetParam(), {tensor::Isa::kScalar, KvType::kBf16, 2e-2});
  check(GetParam(), {tensor::best_isa(), KvType::kBf16, 5e-2});
}

INSTANTIATE_TEST_SUITE_P(Variants, Golden, testing::ValuesIn(kVariants), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace baton::model
