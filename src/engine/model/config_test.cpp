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

Config family(const std::string& name, const std::string& more = "") {
  const auto config = parse_config(
      with("\"architectures\":[\"" + name + "ForCausalLM\"]" + (more.empty() ? "" : "," + more)),
      std::nullopt);
  EXPECT_TRUE(config) << config.error().message();
  return config ? *config : Config();
}

TEST(Config, MistralHasAWindowUnlessItsFileSaysNull) {
  const std::string longer = R"("max_position_embeddings":8192)";
  EXPECT_EQ(family("Mistral", longer).windows, (std::vector<std::size_t>{4096, 4096}));
  EXPECT_EQ(family("Mistral", R"("sliding_window":24)").windows,
            (std::vector<std::size_t>{24, 24}));
  EXPECT_TRUE(family("Mistral", longer + R"(,"sliding_window":null)").windows.empty());
  EXPECT_TRUE(family("Mistral", R"("sliding_window":512)").windows.empty());
}

TEST(Config, QwenSlidesOnlyWhereItIsTurnedOn) {
  const std::string on = R"("use_sliding_window":true,"sliding_window":16)";
  EXPECT_TRUE(family("Qwen2", R"("sliding_window":16)").windows.empty());
  EXPECT_EQ(family("Qwen2", on + R"(,"max_window_layers":1)").windows,
            (std::vector<std::size_t>{0, 16}));
  EXPECT_EQ(
      family("Qwen3", on + R"(,"layer_types":["sliding_attention","full_attention"])").windows,
      (std::vector<std::size_t>{16, 0}));
  EXPECT_EQ(refusal(R"("architectures":["Qwen2ForCausalLM"],"use_sliding_window":true,
                       "layer_types":["chunked_attention","full_attention"])"),
            "config.json: layer_types \"chunked_attention\" is not supported: full_attention and "
            "sliding_attention are");
}

TEST(Config, EachFamilyHasItsBiasesAndNorms) {
  EXPECT_TRUE(family("Qwen2").qkv_bias);
  EXPECT_FALSE(family("Qwen2").output_bias);
  EXPECT_FALSE(family("Qwen3").qkv_bias);
  EXPECT_TRUE(family("Qwen3").qk_norm);
  EXPECT_TRUE(family("Llama", R"("attention_bias":true)").output_bias);
  EXPECT_FLOAT_EQ(family("Llama").attention_scale, 0.25F);
}

TEST(Config, GraniteHasItsMultipliers) {
  const Config config = family("Granite", R"("embedding_multiplier":12,"attention_multiplier":0.5,
      "residual_multiplier":0.22,"logits_scaling":8)");
  EXPECT_EQ(config.embedding_scale, 12);
  EXPECT_EQ(config.attention_scale, 0.5F);
  EXPECT_EQ(config.residual_scale, 0.22F);
  EXPECT_EQ(config.logits_scale, 0.125F);
}

TEST(Config, ReadsYarnWithItsDefaults) {
  const Config config = family("Qwen3", R"("rope_scaling":{"rope_type":"yarn","factor":4})");
  EXPECT_EQ(config.rope_scaling.kind, Config::RopeScaling::Kind::kYarn);
  EXPECT_EQ(config.rope_scaling.original_max_positions, 512);
  EXPECT_NEAR(config.rope_scaling.attention_factor, 1.1386, 1e-4);
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

TEST(Config, RefusesTwoSpellingsOfRopeScalingThatDiffer) {
  const std::string plain = R"("rope_parameters":{"rope_type":"default","rope_theta":500000},)";
  const std::string different =
      "config.json: rope_scaling and rope_parameters say different things: leave one of them out";
  EXPECT_EQ(refusal(plain + R"("rope_scaling":{"rope_type":"linear","factor":2})"), different);
  EXPECT_EQ(refusal(plain + R"("rope_scaling":{"rope_type":"default","rope_theta":10000})"),
            different);
  EXPECT_EQ(refusal(plain + R"("rope_scaling":{"rope_type":"default"})"), "accepted");
  const auto theta =
      parse_config(with(R"("rope_scaling":{"rope_type":"default","rope_theta":7})"), std::nullopt);
  ASSERT_TRUE(theta) << theta.error().message();
  EXPECT_EQ(theta->rope_theta, 7);
}

TEST(Config, RefusesAPartOfTheHeadToRotateInBothSpellingsOfRopeScaling) {
  const std::string half = R"(":{"rope_type":"default","partial_rotary_factor":0.5})";
  for (const std::string field : {"rope_scaling", "rope_parameters"}) {
    EXPECT_EQ(refusal("\"" + field + half),
              "config.json: partial_rotary_factor 0.5 is not supported: the whole head is rotated");
  }
}

TEST(Config, TheEndOfSequenceComesFromTheGenerationConfig) {
  const auto config = parse_config(with(R"("eos_token_id":2)"), R"({"eos_token_id":[5,9]})");
  EXPECT_EQ(config->eos, (std::vector<TokenId>{5, 9}));
  EXPECT_EQ(parse_config(with(R"("eos_token_id":2)"), "{}")->eos, std::vector<TokenId>{2});
}

TEST(Config, RefusesWhatItDoesNotImplementAndNamesTheField) {
  EXPECT_EQ(refusal(R"("architectures":["GemmaForCausalLM"])"),
            "config.json: architectures [\"GemmaForCausalLM\"] is not supported: the engine runs "
            "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, "
            "GraniteForCausalLM");
  EXPECT_EQ(refusal(R"("hidden_act":"gelu")"),
            "config.json: hidden_act \"gelu\" is not supported: only silu is");
  EXPECT_EQ(refusal(R"("layer_types":["sliding_attention","full_attention"])"),
            "config.json: layer_types [\"sliding_attention\",\"full_attention\"] is not supported: "
            "every layer is full_attention here");
  EXPECT_EQ(refusal(R"("rope_scaling":{"rope_type":"longrope","factor":4})"),
            "config.json: rope_scaling of type \"longrope\" is not supported: llama3, linear, yarn "
            "and default are");
  EXPECT_EQ(refusal(R"("rope_theta":1,"rope_scaling":{"rope_type":"yarn","factor":4})"),
            "config.json: rope_scaling: yarn needs a rope_theta above 1");
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
