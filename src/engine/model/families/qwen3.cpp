// Qwen 3: Qwen 2 with a norm over each head of Q and K, and biases only where the file says so.

#include "engine/model/config_fields.hpp"
#include "engine/model/families/families.hpp"

namespace baton::model {

Status read_qwen3(const text::json::Value& config, Config& out) {
  BATON_TRY(read_qwen2(config, out));
  BATON_TRY_ASSIGN(const bool attention, bool_field(config, "attention_bias"));
  out.qkv_bias = out.output_bias = attention;
  out.qk_norm = true;
  return {};
}

}  // namespace baton::model
