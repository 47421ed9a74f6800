// What int8 weights cost in accuracy: the perplexity of stories the storyteller was not trained on.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "engine/model/model.hpp"
#include "formats/token/tokenizer.hpp"

namespace baton::model {
namespace {

const std::filesystem::path kSource(BATON_SOURCE_DIR);

std::vector<std::vector<TokenId>> held_out_stories() {
  const auto tokenizer = token::Tokenizer::load(kSource / "models/storyteller");
  std::ifstream in(kSource / "tests/golden/engine/storyteller-held-out.txt");
  std::stringstream text;
  text << in.rdbuf();
  std::vector<std::vector<TokenId>> out;
  const std::string all = text.str();
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = std::min(all.find("\n---\n", at), all.size());
    out.push_back(
        *(*tokenizer)->encode(std::string_view(all).substr(at, end - at), token::AddSpecial::kYes));
    at = end + 5;
  }
  return out;
}

double perplexity(Quantization quantization, const std::vector<std::vector<TokenId>>& stories) {
  const auto model =
      *Model::load(kSource / "models/storyteller", {.threads = 1, .quantization = quantization});
  const std::size_t vocab = model->config().vocab;
  double loss = 0;
  std::size_t count = 0;
  for (const auto& tokens : stories) {
    KvMemory kv(model->kv_shape(), (tokens.size() + 15) / 16, 16);
    std::vector<BlockIndex> blocks;
    for (std::size_t i = 0; i < kv.blocks(); ++i) blocks.push_back(BlockIndex(i));
    const Slice slice{.tokens = tokens, .blocks = blocks, .logits = Slice::Logits::kAll};
    std::vector<float> logits;
    model->forward({&slice, 1}, kv, logits);
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i, ++count) {
      const float* row = &logits[i * vocab];
      const double top = *std::max_element(row, row + vocab);
      double sum = 0;
      for (std::size_t j = 0; j < vocab; ++j) sum += std::exp(row[j] - top);
      loss += std::log(sum) + top - row[tokens[i + 1]];
    }
  }
  return std::exp(loss / static_cast<double>(count));
}

TEST(Quantization, Int8KeepsThePerplexityWithinOnePercent) {
  const auto stories = held_out_stories();
  ASSERT_GE(stories.size(), 20U);

  const double exact = perplexity(Quantization::kNone, stories);
  const double rounded = perplexity(Quantization::kInt8, stories);

  RecordProperty("exact", std::to_string(exact));
  RecordProperty("int8", std::to_string(rounded));
  EXPECT_NE(exact, rounded);  // it was done at all
  EXPECT_NEAR(rounded / exact, 1, 0.01) << exact << " became " << rounded;
}

TEST(Quantization, LoadingTellsHowFarItIs) {
  const auto folder = kSource / "models/storyteller";
  for (const auto quantization : {Quantization::kNone, Quantization::kInt8}) {
    std::vector<std::uint64_t> told;
    std::uint64_t all = 0;
    ASSERT_TRUE(Model::load(folder, {.quantization = quantization,
                                     .progress = [&](std::uint64_t done, std::uint64_t total) {
                                       told.push_back(done);
                                       all = total;
                                     }}));
    ASSERT_GT(told.size(), 5U);
    EXPECT_TRUE(std::ranges::is_sorted(told));
    EXPECT_LT(told.front(), all / 2);
    EXPECT_LE(told.back(), all);
    EXPECT_GT(told.back(), all / 10 * 9);  // norms are small
    EXPECT_LT(all, std::filesystem::file_size(folder / "model.safetensors"));
  }
}

TEST(Quantization, HoldsAQuarterOfTheBytesOfF32) {
  const auto folder = kSource / "tests/golden/engine/mha-untied-f32";
  const auto exact = *Model::load(folder, {});
  const auto rounded = *Model::load(folder, {.quantization = Quantization::kInt8});

  // The embedding stays: 200 of 32, padded.
  EXPECT_LT(rounded->weight_bytes(), exact->weight_bytes() / 2);
}

}  // namespace
}  // namespace baton::model
