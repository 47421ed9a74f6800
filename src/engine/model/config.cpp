#include "engine/model/config.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "base/text/json.hpp"
#include "engine/model/config_fields.hpp"
#include "engine/model/families/families.hpp"
#include "engine/model/rope_config.hpp"

namespace baton::model {

namespace json = text::json;

namespace {

Result<Family> find_family(const json::Value& config) {
  const auto refuse = [](std::string_view field, const json::Value& value) {
    std::vector<std::string_view> known;
    for (const Family& family : kFamilies) known.push_back(family.architecture);
    return not_supported(field, value, fmt::format("the engine runs {}", fmt::join(known, ", ")));
  };
  if (const json::Value* names = given(config, "architectures")) {
    const json::Array* array = names->if_array();
    if (array == nullptr || array->size() != 1) return refuse("architectures", *names);
    for (const Family& family : kFamilies) {
      if (array->front() == family.architecture) return family;
    }
    return refuse("architectures", *names);
  }
  const std::string_view type = config.string_at({"model_type"});
  for (const Family& family : kFamilies) {
    if (type == family.model_type) return family;
  }
  return refuse("model_type", json::Value(type));
}

// Fields that change the computation in ways the graph does not have.
Status check_unsupported(const json::Value& config) {
  if (const json::Value* v = given(config, "quantization_config")) {
    return not_supported("quantization_config", *v, "weights must be f32, f16 or bf16");
  }
  if (const json::Value* v = given(config, "hidden_act"); v != nullptr && *v != "silu") {
    return not_supported("hidden_act", *v, "only silu is");
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

Status parse_sizes(const json::Value& config, Config& out) {
  BATON_TRY_ASSIGN(out.vocab, size_field(config, "vocab_size", std::nullopt, kMaxDimension));
  BATON_TRY_ASSIGN(out.hidden, size_field(config, "hidden_size", std::nullopt, kMaxDimension));
  BATON_TRY_ASSIGN(out.layers, size_field(config, "num_hidden_layers", std::nullopt, kMaxLayers));
  BATON_TRY_ASSIGN(out.heads,
                   size_field(config, "num_attention_heads", std::nullopt, kMaxDimension));
  BATON_TRY_ASSIGN(out.kv_heads,
                   size_field(config, "num_key_value_heads", out.heads, kMaxDimension));
  BATON_TRY_ASSIGN(out.ffn, size_field(config, "intermediate_size", std::nullopt, kMaxDimension));
  BATON_TRY_ASSIGN(out.max_positions,
                   size_field(config, "max_position_embeddings", 2048, kMaxDimension));
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
  BATON_TRY_ASSIGN(out.head_dim,
                   size_field(config, "head_dim", out.hidden / out.heads, kMaxDimension));
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

// Windows that the family does not know of would be ignored.
Status check_windows(const json::Value& config, const Config& out) {
  if (!out.windows.empty()) return {};
  const json::Value* types = given(config, "layer_types");
  if (types == nullptr) return {};
  const json::Array* array = types->if_array();
  if (array == nullptr || !std::ranges::all_of(*array, [](const json::Value& type) {
        return type == "full_attention";
      })) {
    return not_supported("layer_types", *types, "every layer is full_attention here");
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
  BATON_TRY_ASSIGN(const Family family, find_family(value));
  BATON_TRY(parse_sizes(value, out));
  BATON_TRY(check_unsupported(value));
  BATON_TRY(read_rope(value, out));
  BATON_TRY_ASSIGN(const double eps, positive_field(value, "rms_norm_eps", 1e-6));
  out.rms_eps = static_cast<float>(eps);
  BATON_TRY_ASSIGN(out.tied_embeddings, bool_field(value, "tie_word_embeddings"));
  out.attention_scale = 1.0F / std::sqrt(static_cast<float>(out.head_dim));
  BATON_TRY(family.read(value, out));
  BATON_TRY(check_windows(value, out));
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
