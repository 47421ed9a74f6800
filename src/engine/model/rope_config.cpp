#include "engine/model/rope_config.hpp"

#include <fmt/format.h>

#include <cmath>

#include "engine/model/config_fields.hpp"

namespace baton::model {

namespace json = text::json;

namespace {

using Scaling = Config::RopeScaling;

Status read_llama3(const json::Value& value, std::string_view field, Scaling& out) {
  BATON_TRY_ASSIGN(out.low_freq_factor, positive_field(value, "low_freq_factor"));
  BATON_TRY_ASSIGN(out.high_freq_factor, positive_field(value, "high_freq_factor"));
  BATON_TRY_ASSIGN(out.original_max_positions,
                   positive_field(value, "original_max_position_embeddings"));
  if (out.high_freq_factor <= out.low_freq_factor) {
    return invalid(fmt::format("{}: high_freq_factor must be above low_freq_factor", field));
  }
  return {};
}

// YaRN (Peng et al. 2023), with the defaults of transformers.
Status read_yarn(const json::Value& value, std::string_view field, const Config& config,
                 Scaling& out) {
  BATON_TRY_ASSIGN(out.original_max_positions,
                   positive_field(value, "original_max_position_embeddings",
                                  static_cast<double>(config.max_positions)));
  BATON_TRY_ASSIGN(out.beta_fast, positive_field(value, "beta_fast", 32));
  BATON_TRY_ASSIGN(out.beta_slow, positive_field(value, "beta_slow", 1));
  if (out.beta_fast <= out.beta_slow) {
    return invalid(fmt::format("{}: beta_fast must be above beta_slow", field));
  }
  if (config.rope_theta <= 1)
    return invalid(fmt::format("{}: yarn needs a rope_theta above 1", field));
  BATON_TRY_ASSIGN(out.truncate, bool_field(value, "truncate", true));
  const auto magnitude = [&](double scale) {
    return out.factor <= 1 ? 1.0 : 0.1 * scale * std::log(out.factor) + 1;
  };
  double otherwise = magnitude(1);
  if (given(value, "mscale") != nullptr && given(value, "mscale_all_dim") != nullptr) {
    BATON_TRY_ASSIGN(const double one, positive_field(value, "mscale"));
    BATON_TRY_ASSIGN(const double all, positive_field(value, "mscale_all_dim"));
    otherwise = magnitude(one) / magnitude(all);
  }
  BATON_TRY_ASSIGN(out.attention_factor, positive_field(value, "attention_factor", otherwise));
  return {};
}

Result<Scaling> read_scaling(const json::Value& value, std::string_view field,
                             const Config& config) {
  if (!value.is_object()) return invalid(fmt::format("{} is not an object", field));
  Scaling out;
  const json::Value* type = given(value, "rope_type");
  if (type == nullptr) type = given(value, "type");
  if (type == nullptr || *type == "default") return out;
  if (*type == "linear") {
    out.kind = Scaling::Kind::kLinear;
  } else if (*type == "llama3") {
    out.kind = Scaling::Kind::kLlama3;
  } else if (*type == "yarn") {
    out.kind = Scaling::Kind::kYarn;
  } else {
    return not_supported(fmt::format("{} of type", field), *type,
                         "llama3, linear, yarn and default are");
  }
  BATON_TRY_ASSIGN(out.factor, positive_field(value, "factor"));
  if (out.kind == Scaling::Kind::kLlama3) {
    BATON_TRY(read_llama3(value, field, out));
  }
  if (out.kind == Scaling::Kind::kYarn) {
    BATON_TRY(read_yarn(value, field, config, out));
  }
  return out;
}

// One of the two spellings. Without a theta of its own that of `out` stays.
Status read_spelling(const json::Value& value, std::string_view field, Config& out) {
  BATON_TRY_ASSIGN(out.rope_theta, positive_field(value, "rope_theta", out.rope_theta).with(field));
  BATON_TRY_ASSIGN(out.rope_scaling, read_scaling(value, field, out));
  const json::Value* partial = given(value, "partial_rotary_factor");
  if (partial != nullptr && *partial != 1.0) {
    return not_supported("partial_rotary_factor", *partial, "the whole head is rotated");
  }
  return {};
}

}  // namespace

Status read_rope(const json::Value& config, Config& out) {
  const json::Value* newer = given(config, "rope_parameters");
  const json::Value* older = given(config, "rope_scaling");
  BATON_TRY_ASSIGN(out.rope_theta, positive_field(config, "rope_theta", out.rope_theta));
  if (newer != nullptr) {
    BATON_TRY(read_spelling(*newer, "rope_parameters", out));
  }
  if (older == nullptr) return {};
  const double theta = out.rope_theta;
  const Scaling scaling = out.rope_scaling;
  BATON_TRY(read_spelling(*older, "rope_scaling", out));
  if (newer != nullptr && (theta != out.rope_theta || scaling != out.rope_scaling)) {
    return invalid("rope_scaling and rope_parameters say different things: leave one of them out");
  }
  return {};
}

}  // namespace baton::model
