#pragma once
// config.json of a Llama-shaped model: the sizes, and in which ways its family differs (families/).

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "formats/token/token.hpp"

namespace baton::model {

using token::TokenId;

inline constexpr std::size_t kMaxConfigBytes = std::size_t{1} << 20;
// Far beyond any model, and small enough that no product of two overflows.
inline constexpr std::size_t kMaxDimension = std::size_t{1} << 24;
inline constexpr std::size_t kMaxLayers = 1024;

struct Config {
  std::size_t vocab = 0;
  std::size_t hidden = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t ffn = 0;
  std::size_t max_positions = 0;  // max_position_embeddings
  float rms_eps = 1e-5F;
  double rope_theta = 10000;
  // rope_scaling, or the newer rope_parameters.
  struct RopeScaling {
    enum class Kind : std::uint8_t { kNone, kLinear, kLlama3, kYarn } kind = Kind::kNone;
    double factor = 1;
    double original_max_positions = 8192;              // kLlama3, kYarn
    double low_freq_factor = 1, high_freq_factor = 4;  // kLlama3
    double beta_fast = 32, beta_slow = 1;              // kYarn: rotations over the original context
    double attention_factor = 1;                       // kYarn: of cosines and sines
    bool truncate = true;                              // kYarn: blend between whole dimensions
    bool operator==(const RopeScaling&) const = default;
  } rope_scaling;
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  // an RMS norm over each head of Q and K, before the rotation
  float embedding_scale = 1;
  float attention_scale = 0;  // of Q times K; 1 / sqrt(head_dim) for most
  float residual_scale = 1;   // of what a block adds
  float logits_scale = 1;
  // How many positions a token sees in each layer, itself included; 0: all. Empty: all in every
  // one.
  std::vector<std::size_t> windows;
  std::vector<TokenId> eos;  // from generation_config.json when present, else config.json
};

// `generation` is the text of generation_config.json, when there is one. kInvalid: malformed, a
// missing or impossible size, or a field whose value asks for what is not implemented; names it.
Result<Config> parse_config(std::string_view config, std::optional<std::string_view> generation);

// Reads config.json and generation_config.json of `folder`. kNotFound: no config.json.
Result<Config> read_config(const std::filesystem::path& folder);

}  // namespace baton::model
