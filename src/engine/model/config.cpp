#include "engine/model/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "base/text/json.hpp"

namespace baton::model {

namespace json = text::json;

namespace {

// The member, or null when it is absent or null: Hugging Face writes null for "not set".
const json::Value* given(const json::Value& config, std::string_view field) {
  const json::Value* value = config.find(field);
  return value == nullptr || value->is_null() ? nullptr : value;
}

// A positive integer up to `most`. Without `otherwise` the field must be there.
Result<std::size_t> size_field(const json::Value& config, std::string_view field,
                               std::optional<std::size_t> otherwise = std::nullopt,
                               std::size_t most = kMaxDimension) {
  const json::Value* value = given(config, field);
  if (value == nullptr) {
    if (otherwise) return *otherwise;
    return invalid(fmt::format("no field '{}'", field));
  }
  const auto number = value->if_uint();
  if (!number || *number == 0 || *number > most) {
    return invalid(fmt::format("{} is {}; it must be an integer from 1 to {}", field,
                               json::dump(*value), most));
  }
  return static_cast<std::size_t>(*number);
}

Result<double> positive_field(const json::Value& config, std::string_view field,
                              std::optional<double> otherwise = std::nullopt) {
  const json::Value* value = given(config, field);
  if (value == nullptr) {
    if (otherwise) return *otherwise;
    return invalid(fmt::format("no field '{}'", field));
  }
  const auto number = value->if_double();
  if (!number || !std::isfinite(*number) || *number <= 0) {
    return invalid(
        fmt::format("{} is {}; it must be a positive number", field, json::dump(*value)));
  }
  return *number;
}

Result<bool> bool_field(const json::Value& config, std::string_view field) {
  const json::Value* value = given(config, field);
  if (value == nullptr) return false;
  const bool* flag = value->if_bool();
  if (flag == nullptr) {
    return invalid(fmt::format("{} is {}; it must be true or false", field, json::dump(*value)));
  }
  return *flag;
}

Error not_supported(std::string_view field, const json::Value& value, std::string_view what) {
  return invalid(fmt::format("{} {} is not supported: {}", field, json::dump(value), what));
}

Status check_architecture(const json::Value& config) {
  constexpr std::string_view kWhat = "the engine runs LlamaForCausalLM and MistralForCausalLM";
  if (const json::Value* names = given(config, "architectures")) {
    const json::Array* array = names->if_array();
    const std::string* name =
        array == nullptr || array->size() != 1 ? nullptr : array->front().if_string();
    if (name == nullptr || (*name != "LlamaForCausalLM" && *name != "MistralForCausalLM")) {
      return not_supported("architectures", *names, kWhat);
    }
    return {};
  }
  const std::string_view type = config.string_at({"model_type"});
  if (type == "llama" || type == "mistral") return {};
  return not_supported("model_type", json::Value(type), kWhat);
}

// Fields that change the computation in ways the graph does not have.
Status check_unsupported(const json::Value& config, std::size_t max_positions) {
  if (const json::Value* v = given(config, "quantization_config")) {
    return not_supported("quantization_config", *v, "weights must be f32, f16 or bf16");
  }
  if (const json::Value* v = given(config, "hidden_act"); v != nullptr && *v != "silu") {
    return not_supported("hidden_act", *v, "only silu is");
  }
  if (const json::Value* v = given(config, "sliding_window")) {
    const auto window = v->if_uint();
    if (!window || *window < max_positions) {
      return not_supported("sliding_window", *v, "attention covers the whole context");
    }
  }
  if (const json::Value* v = given(config, "layer_types")) {
    const json::Array* types = v->if_array();
    if (types == nullptr || !std::ranges::all_of(*types, [](const json::Value& type) {
          return type == "full_attention";
        })) {
      return not_supported("layer_types", *v, "every layer is full_attention");
    }
  }
  if (const json::Value* v = given(config, "partial_rotary_factor"); v != nullptr && *v != 1.0) {
    return not_supported("partial_rotary_factor", *v, "the whole head is rotated");
  }
  for (const std::string_view field : {"dtype", "torch_dtype"}) {
    constexpr std::array<std::string_view, 4> kTypes = {"float32", "float16", "bfloat16", "auto"};
    const json::Value* v = given(config, field);
    if (v == nullptr) continue;
    const std::string* type = v->if_string();
    if (type == nullptr || std::ranges::find(kTypes, *type) == kTypes.end()) {
      return not_supported(field, *v, "weights must be float32, float16 or bfloat16");
    }
  }
  return {};
}

Result<Config::RopeScaling> parse_scaling(const json::Value& value, std::string_view field) {
  if (!value.is_object()) return invalid(fmt::format("{} is not an object", field));
  Config::RopeScaling out;
  const json::Value* type = given(value, "rope_type");
  if (type == nullptr) type = given(value, "type");
  if (type == nullptr || *type == "default") return out;
  if (*type == "linear") {
    out.kind = Config::RopeScaling::Kind::kLinear;
  } else if (*type == "llama3") {
    out.kind = Config::RopeScaling::Kind::kLlama3;
  } else {
    return not_supported(fmt::format("{} of type", field), *type, "llama3, linear and default are");
  }
  BATON_TRY_ASSIGN(out.factor, positive_field(value, "factor"));
  if (out.kind == Config::RopeScaling::Kind::kLinear) return out;
  BATON_TRY_ASSIGN(out.low_freq_factor, positive_field(value, "low_freq_factor"));
  BATON_TRY_ASSIGN(out.high_freq_factor, positive_field(value, "high_freq_factor"));
  BATON_TRY_ASSIGN(out.original_max_positions,
                   positive_field(value, "original_max_position_embeddings"));
  if (out.high_freq_factor <= out.low_freq_factor) {
    return invalid(fmt::format("{}: high_freq_factor must be above low_freq_factor", field));
  }
  return out;
}

Status parse_rope(const json::Value& config, Config& out) {
  const json::Value* newer = given(config, "rope_parameters");
  const json::Value* older = given(config, "rope_scaling");
  BATON_TRY_ASSIGN(out.rope_theta, positive_field(config, "rope_theta", out.rope_theta));
  if (newer != nullptr) {
    BATON_TRY_ASSIGN(out.rope_scaling, parse_scaling(*newer, "rope_parameters"));
    BATON_TRY_ASSIGN(out.rope_theta,
                     positive_field(*newer, "rope_theta", out.rope_theta).with("rope_parameters"));
    const json::Value* partial = given(*newer, "partial_rotary_factor");
    if (partial != nullptr && *partial != 1.0) {
      return not_supported("partial_rotary_factor", *partial, "the whole head is rotated");
    }
  } else if (older != nullptr) {
    BATON_TRY_ASSIGN(out.rope_scaling, parse_scaling(*older, "rope_scaling"));
  }
  return {};
}

Status parse_sizes(const json::Value& config, Config& out) {
  BATON_TRY_ASSIGN(out.vocab, size_field(config, "vocab_size"));
  BATON_TRY_ASSIGN(out.hidden, size_field(config, "hidden_size"));
  BATON_TRY_ASSIGN(out.layers, size_field(config, "num_hidden_layers", std::nullopt, kMaxLayers));
  BATON_TRY_ASSIGN(out.heads, size_field(config, "num_attention_heads"));
  BATON_TRY_ASSIGN(out.kv_heads, size_field(config, "num_key_value_heads", out.heads));
  BATON_TRY_ASSIGN(out.ffn, size_field(config, "intermediate_size"));
  BATON_TRY_ASSIGN(out.max_positions, size_field(config, "max_position_embeddings", 2048));
  if (out.heads % out.kv_heads != 0) {
    return invalid(fmt::format("{} attention heads do not divide into {} key-value heads",
                               out.heads, out.kv_heads));
  }
  if (given(config, "head_dim") == nullptr && out.hidden % out.heads != 0) {
    return invalid(
        fmt::format("hidden_size {} does not divide into {} heads, and there is no "
                    "head_dim",
                    out.hidden, out.heads));
  }
  BATON_TRY_ASSIGN(out.head_dim, size_field(config, "head_dim", out.hidden / out.heads));
  if (out.heads * out.head_dim > kMaxDimension) {
    return invalid(fmt::format("{} heads of {} are over the limit of {}", out.heads, out.head_dim,
                               kMaxDimension));
  }
  for (const auto& [field, size] : {std::pair{"head_dim", out.head_dim},
                                    {"hidden_size", out.hidden},
                                    {"intermediate_size", out.ffn}}) {
    if (size % 2 != 0) return invalid(fmt::format("{} {} is odd; it must be even", field, size));
  }
  return {};
}

Status parse_eos(const json::Value& config, Config& out) {
  const json::Value* eos = given(config, "eos_token_id");
  if (eos == nullptr) return {};
  std::vector<TokenId> ids;
  const json::Array one = {*eos};
  const json::Array* array = eos->if_array();
  for (const json::Value& id : array == nullptr ? one : *array) {
    const auto number = id.if_uint();
    if (!number || *number > std::numeric_limits<TokenId>::max()) {
      return invalid(fmt::format("eos_token_id {} is not a token id", json::dump(id)));
    }
    ids.push_back(static_cast<TokenId>(*number));
  }
  out.eos = std::move(ids);
  return {};
}

Result<json::Value> parse_object(std::string_view text) {
  if (text.size() > kMaxConfigBytes) {
    return invalid(fmt::format("{} bytes; at most {}", text.size(), kMaxConfigBytes));
  }
  BATON_TRY_ASSIGN(json::Value value, json::parse(text));
  if (!value.is_object()) return invalid("not a JSON object");
  return value;
}

Result<std::optional<std::string>> read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::optional<std::string>();
  std::string text(kMaxConfigBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return std::optional(std::move(text));
}

Result<Config> parse_model(std::string_view text) {
  BATON_TRY_ASSIGN(const json::Value value, parse_object(text));
  Config out;
  BATON_TRY(check_architecture(value));
  BATON_TRY(parse_sizes(value, out));
  BATON_TRY(check_unsupported(value, out.max_positions));
  BATON_TRY(parse_rope(value, out));
  BATON_TRY_ASSIGN(const double eps, positive_field(value, "rms_norm_eps", 1e-6));
  out.rms_eps = static_cast<float>(eps);
  BATON_TRY_ASSIGN(out.tied_embeddings, bool_field(value, "tie_word_embeddings"));
  BATON_TRY_ASSIGN(out.attention_bias, bool_field(value, "attention_bias"));
  BATON_TRY_ASSIGN(out.mlp_bias, bool_field(value, "mlp_bias"));
  BATON_TRY(parse_eos(value, out));
  return out;
}

Status parse_generation(std::string_view text, Config& out) {
  BATON_TRY_ASSIGN(const json::Value value, parse_object(text));
  return parse_eos(value, out);
}

}  // namespace

Result<Config> parse_config(std::string_view config, std::optional<std::string_view> generation) {
  BATON_TRY_ASSIGN(Config out, parse_model(config).with("config.json"));
  if (generation) {
    BATON_TRY(parse_generation(*generation, out).with("generation_config.json"));
  }
  return out;
}

Result<Config> read_config(const std::filesystem::path& folder) {
  BATON_TRY_ASSIGN(const auto config, read_text(folder / "config.json"));
  if (!config) return not_found(fmt::format("{} has no config.json", folder.string()));
  BATON_TRY_ASSIGN(const auto generation, read_text(folder / "generation_config.json"));
  return parse_config(*config, generation).with(folder.string());
}

}  // namespace baton::model
