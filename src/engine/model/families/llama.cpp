// Llama 2 and 3, and what is shaped like them: biases are all or none.

#include "engine/model/config_fields.hpp"
#include "engine/model/families/families.hpp"

namespace baton::model {

Status read_llama(const text::json::Value& config, Config& out) {
  BATON_TRY_ASSIGN(const bool attention, bool_field(config, "attention_bias"));
  out.qkv_bias = out.output_bias = attention;
  BATON_TRY_ASSIGN(out.mlp_bias, bool_field(config, "mlp_bias"));
  return {};
}

}  // namespace baton::model
