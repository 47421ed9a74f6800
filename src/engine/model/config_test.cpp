#include "engine/model/config.hpp"

#include <gtest/gtest.h>

#include <string>

namespace baton::model {
namespace {

// A good config.json with `more` members put in front: the last of duplicate keys wins, so these go
// last.
std::string with(const std::string& more) {
  return R"({"architectures":["LlamaForCausalLM"],"hidden_act":"silu","hidden_size":64,
    "intermediate_size":128,"max_position_embeddings":512,"num_attention_heads":4,
    "num_hidden_layers":2,"num_key_value_heads":2,"rms_norm_eps":1e-5,"vocab_size":300)" +
         (more.empty() ? "" : "," + more) + "}";
}

std::string refusal(const std::string& more) {
  const auto config = parse_config(with(more), std::nullopt);
  return config ? "accepted" : config.error().message();
}

TEST(Config, ReadsTheSizesAndFillsInWhatHuggingFaceLeavesOut) {
  const auto config = parse_config(with(""), std::nullopt);

  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->head_dim, 16U);
  EXPECT_EQ(config->kv_heads, 2U);
  EXPECT_EQ(config->rope_theta, 10000);
  EXPECT_EQ(config->rope_scaling.kind, Config::RopeScaling::Kind::kNone);
  EXPECT_FALSE(config->tied_embeddings);
  EXPECT_TRUE(config->eos.empty());
}

TEST(Config, AcceptsMistralWithoutASlidingWindow) {
  const auto config = parse_config(
      with(R"("architectures":["MistralForCausalLM"],"sliding_window":null)"), std::nullopt);
  EXPECT_TRUE(config);
}

TEST(Config, AWindowAsLargeAsTheContextIsNone) {
  EXPECT_EQ(refusal(R"("sliding_window":512)"), "accepted");
}

TEST(Config, ReadsBothSpellingsOfRopeScaling) {
  const std::string llama3 =
      R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,
          "original_max_position_embeddings":64,"rope_theta":500000})";
  for (const char* field : {"rope_scaling", "rope_parameters"}) {
    const auto config =
        parse_config(with(std::string("\"") + field + "\":" + llama3), std::nullopt);
    ASSERT_TRUE(config) << config.error().message();
    EXPECT_EQ(config->rope_scaling.kind, Config::RopeScaling::Kind::kLlama3);
    EXPECT_EQ(config->rope_scaling.original_max_positions, 64);
  }
  const auto newer =
      parse_config(with("\"rope_theta\":7,\"rope_parameters\":" + llama3), std::nullopt);
  EXPECT_EQ(newer->rope_theta, 500000);
  const auto linear =
      parse_config(with(R"("rope_scaling":{"type":"linear","factor":2.0})"), std::nullopt);
  EXPECT_EQ(linear->rope_scaling.kind, Config::RopeScaling::Kind::kLinear);
  EXPECT_EQ(refusal(R"("rope_scaling":{"rope_type":"default"})"), "accepted");
}

TEST(Config, TheEndOfSequenceComesFromTheGenerationConfig) {
  const auto config = parse_config(with(R"("eos_token_id":2)"), R"({"eos_token_id":[5,9]})");
  EXPECT_EQ(config->eos, (std::vector<TokenId>{5, 9}));
  EXPECT_EQ(parse_config(with(R"("eos_token_id":2)"), "{}")->eos, std::vector<TokenId>{2});
}

TEST(Config, RefusesWhatItDoesNotImplementAndNamesTheField) {
  EXPECT_EQ(refusal(R"("architectures":["Qwen2ForCausalLM"])"),
            "config.json: architectures [\"Qwen2ForCausalLM\"] is not supported: the engine runs "
            "LlamaForCausalLM and MistralForCausalLM");
  EXPECT_EQ(refusal(R"("hidden_act":"gelu")"),
            "config.json: hidden_act \"gelu\" is not supported: only silu is");
  EXPECT_EQ(refusal(R"("sliding_window":256)"),
            "config.json: sliding_window 256 is not supported: attention covers the whole context");
  EXPECT_EQ(refusal(R"("rope_scaling":{"rope_type":"yarn","factor":4})"),
            "config.json: rope_scaling of type \"yarn\" is not supported: llama3, linear and "
            "default are");
  EXPECT_EQ(refusal(R"("quantization_config":{"bits":4})"),
            "config.json: quantization_config {\"bits\":4} is not supported: weights must be f32, "
            "f16 or bf16");
  EXPECT_EQ(refusal(R"("dtype":"float8")"),
            "config.json: dtype \"float8\" is not supported: weights must be float32, float16 or "
            "bfloat16");
  EXPECT_NE(refusal(R"("partial_rotary_factor":0.5)").find("partial_rotary_factor"),
            std::string::npos);
}

TEST(Config, RefusesImpossibleSizes) {
  EXPECT_EQ(refusal(R"("hidden_size":0)"),
            "config.json: hidden_size is 0; it must be an integer from 1 to 16777216");
  EXPECT_EQ(refusal(R"("num_key_value_heads":3)"),
            "config.json: 4 attention heads do not divide into 3 key-value heads");
  EXPECT_EQ(refusal(R"("head_dim":7)"), "config.json: head_dim 7 is odd; it must be even");
  EXPECT_EQ(refusal(R"("num_hidden_layers":-1)"),
            "config.json: num_hidden_layers is -1; it must be an integer from 1 to 1024");
  EXPECT_EQ(refusal(R"("eos_token_id":"</s>")"),
            "config.json: eos_token_id \"</s>\" is not a token id");
  EXPECT_EQ(parse_config("[]", std::nullopt).error().message(), "config.json: not a JSON object");
}

}  // namespace
}  // namespace baton::model
