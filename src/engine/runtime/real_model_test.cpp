// Token-exactness with the real transformer on random tiny Llamas (tests/golden/engine).

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text/json.hpp"
#include "engine/runtime/fingerprint.hpp"
#include "engine/runtime/testing/rig.hpp"

namespace baton::runtime {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr std::size_t kMaxLen = 1024;
constexpr std::size_t kAnswer = 12;
constexpr std::size_t kVocab = 200;  // of the smallest

// The checkpoint with room for longer prompts.
class LongFolder {
 public:
  explicit LongFolder(const std::string& variant) {
    SystemRandom random;
    path_ = fs::path(::testing::TempDir()) / ("baton-" + random_hex(random, 8));
    fs::copy(fs::path(BATON_SOURCE_DIR) / "tests/golden/engine" / variant, path_);
    std::stringstream text;
    text << std::ifstream(path_ / "config.json").rdbuf();
    auto config = text::json::parse(text.str());
    (*config)["max_position_embeddings"] = kMaxLen;
    std::ofstream(path_ / "config.json") << text::json::dump(*config);
  }
  ~LongFolder() { fs::remove_all(path_); }

  const fs::path& path() const { return path_; }
  std::unique_ptr<model::Model> load(std::size_t threads) const {
    auto model = model::Model::load(path_, {.threads = threads, .isa = {}, .kv_type = {}});
    if (!model) throw std::runtime_error(model.error().message());
    return *std::move(model);
  }

 private:
  fs::path path_;
};

EngineConfig config(std::size_t block_size, std::size_t chunk, std::size_t tokens = 8192) {
  EngineConfig c = small_config();
  c.max_model_len = kMaxLen;
  c.block_size = block_size;
  c.blocks = tokens / block_size;
  c.max_num_batched_tokens = chunk;
  return c;
}

SamplingParams sampling(std::size_t i) { return i % 2 ? seeded(kAnswer, i) : greedy(kAnswer); }

class RealModel : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    EngineConfig c = config(16, 1024);
    c.prefix_caching = false;
    Rig alone(c, folder.load(1));
    for (std::size_t i = 0; i < 2; ++i)
      for (const std::size_t length : {1, 15, 16, 17, 100, 1000, 1023}) {
        prompts.push_back(prompt_of(length, prompts.size(), kVocab));
        expected.push_back(alone.generate(prompts.back(), sampling(prompts.size() - 1)).tokens);
      }
  }

  LongFolder folder{GetParam()};
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::vector<TokenId>> expected;
};

TEST_P(RealModel, PrefillAndDecodeAndACacheHitGiveTheTokensOfOneEngine) {
  struct Side {
    std::size_t block_size, chunk, threads;
  };
  for (const auto& [p, d] : {std::pair<Side, Side>{{16, 64, 1}, {64, 17, 2}},
                             std::pair<Side, Side>{{32, 333, 2}, {16, 8, 1}},
                             std::pair<Side, Side>{{64, 16, 1}, {32, 512, 1}}}) {
    SCOPED_TRACE(p.block_size);
    Rig prefill(config(p.block_size, p.chunk), folder.load(p.threads));
    Rig decode(config(d.block_size, d.chunk), folder.load(d.threads));
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const Answer first = prefill.prefill(prompts[i], sampling(i));
      ASSERT_TRUE(first.transfer);
      ids.push_back(decode.submit(prompts[i], sampling(i), *first.transfer));
    }
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const Answer answer = decode.sink.wait(ids[i]);
      EXPECT_EQ(answer.tokens, expected[i]) << i;
      EXPECT_EQ(answer.prompt->remote, prompts[i].size() - 1) << answer.prompt->transfer_error;
      EXPECT_EQ(decode.generate(prompts[i], sampling(i)).tokens, expected[i]) << i;
    }
    EXPECT_EQ(prefill.at_rest().blocks_pinned, 0U);
    EXPECT_GT(decode.at_rest().prefix_hit_tokens, 0U);
  }
}

TEST_P(RealModel, PreemptionAndCompanyDoNotChangeTheTokens) {
  EngineConfig c = config(16, 40, kMaxLen);
  Rig rig(c, folder.load(2));
  std::vector<std::string> ids;
  std::vector<std::vector<TokenId>> alone;
  Rig reference(config(32, 512), folder.load(1));
  for (std::size_t i = 0; i < 8; ++i) {
    const auto prompt = prompt_of(60 + 10 * i, 50 + i, kVocab);
    alone.push_back(reference.generate(prompt, seeded(100, i)).tokens);
  }
  for (std::size_t i = 0; i < 8; ++i)
    ids.push_back(rig.submit(prompt_of(60 + 10 * i, 50 + i, kVocab), seeded(100, i)));

  for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(rig.sink.wait(ids[i]).tokens, alone[i]);

  EXPECT_GT(rig.at_rest().preemptions, 0U);
}

INSTANTIATE_TEST_SUITE_P(Of, RealModel, ::testing::Values("gqa-tied-bf16", "mha-untied-f32"));

TEST(Fingerprint, TellsFoldersApartAndNamesWhatIsMissing) {
  const LongFolder a("gqa-tied-bf16"), same("gqa-tied-bf16"), other("mha-untied-f32");

  const auto of = [](const LongFolder& folder) { return *fingerprint_model(folder.path()); };
  EXPECT_EQ(of(a), of(same));
  EXPECT_NE(of(a), of(other));
  EXPECT_NE(of(a), *fingerprint_model(a.path(), model::Quantization::kInt8));
  std::ofstream(same.path() / "model.safetensors", std::ios::app) << "x";
  EXPECT_NE(of(a), of(same));
  EXPECT_EQ(fingerprint_model("no/such/folder").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace baton::runtime
