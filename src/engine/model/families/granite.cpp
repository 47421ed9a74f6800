// Granite: Llama with four multipliers.

#include "engine/model/config_fields.hpp"
#include "engine/model/families/families.hpp"

namespace baton::model {

Status read_granite(const text::json::Value& config, Config& out) {
  BATON_TRY(read_llama(config, out));
  const auto multiplier = [&](std::string_view field) -> Result<float> {
    BATON_TRY_ASSIGN(const double value, positive_field(config, field, 1.0));
    return static_cast<float>(value);
  };
  BATON_TRY_ASSIGN(out.embedding_scale, multiplier("embedding_multiplier"));
  BATON_TRY_ASSIGN(out.attention_scale, multiplier("attention_multiplier"));
  BATON_TRY_ASSIGN(out.residual_scale, multiplier("residual_multiplier"));
  BATON_TRY_ASSIGN(const float divisor, multiplier("logits_scaling"));
  out.logits_scale = 1 / divisor;
  return {};
}

}  // namespace baton::model
