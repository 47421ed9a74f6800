#include "engine/model/testing/random_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/random.hpp"
#include "base/text/json.hpp"

namespace baton::model::testing {

namespace json = text::json;
using tensor::Dtype;

namespace {

struct Tensor {
  std::string name;
  std::vector<std::size_t> shape;
};

std::vector<Tensor> tensors_of(const Config& c) {
  const std::size_t q = c.heads * c.head_dim;
  const std::size_t kv = c.kv_heads * c.head_dim;
  std::vector<Tensor> out = {{"model.embed_tokens.weight", {c.vocab, c.hidden}},
                             {"model.norm.weight", {c.hidden}}};
  if (!c.tied_embeddings) out.push_back({"lm_head.weight", {c.vocab, c.hidden}});
  for (std::size_t i = 0; i < c.layers; ++i) {
    const std::string p = fmt::format("model.layers.{}.", i);
    out.insert(out.end(), {{p + "input_layernorm.weight", {c.hidden}},
                           {p + "self_attn.q_proj.weight", {q, c.hidden}},
                           {p + "self_attn.k_proj.weight", {kv, c.hidden}},
                           {p + "self_attn.v_proj.weight", {kv, c.hidden}},
                           {p + "self_attn.o_proj.weight", {c.hidden, q}},
                           {p + "post_attention_layernorm.weight", {c.hidden}},
                           {p + "mlp.gate_proj.weight", {c.ffn, c.hidden}},
                           {p + "mlp.up_proj.weight", {c.ffn, c.hidden}},
                           {p + "mlp.down_proj.weight", {c.hidden, c.ffn}}});
    if (!c.qk_norm) continue;
    out.push_back({p + "self_attn.q_norm.weight", {c.head_dim}});
    out.push_back({p + "self_attn.k_norm.weight", {c.head_dim}});
  }
  return out;
}

// f16 of a value of ordinary size, by truncation: these are random numbers.
std::uint16_t to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude < (113U << 23)) return static_cast<std::uint16_t>(sign);
  return static_cast<std::uint16_t>(sign | ((magnitude - (112U << 23)) >> 13));
}

void append(std::string& out, Dtype dtype, float value) {
  if (dtype == Dtype::kF32) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
    return;
  }
  const std::uint16_t bits = dtype == Dtype::kBf16 ? tensor::to_bf16(value) : to_f16(value);
  out.append(reinterpret_cast<const char*>(&bits), sizeof bits);
}

std::string data_of(const Tensor& tensor, Dtype dtype, Random& random) {
  const bool vector = tensor.shape.size() == 1;
  std::size_t count = 1;
  for (const std::size_t n : tensor.shape) count *= n;
  // Uniform in [-gain, gain], of variance 1 / inputs; norms are about 1.
  const double gain = vector ? 0.2 : std::sqrt(3.0 / static_cast<double>(tensor.shape.back()));
  std::string out;
  out.reserve(count * 4);
  for (std::size_t i = 0; i < count; ++i) {
    append(out, dtype, static_cast<float>((vector ? 1.0 : 0.0) + gain * (2 * random.unit() - 1)));
  }
  return out;
}

// Of Qwen 3 when the heads have norms or layers have windows, else of Llama.
json::Value config_json(const Config& c) {
  json::Array types;
  for (const std::size_t window : c.windows) {
    types.push_back(window == 0 ? "full_attention" : "sliding_attention");
  }
  json::Object out{
      {"architectures", json::Array{c.qk_norm ? "Qwen3ForCausalLM" : "LlamaForCausalLM"}},
      {"hidden_act", "silu"},
      {"vocab_size", c.vocab},
      {"hidden_size", c.hidden},
      {"num_hidden_layers", c.layers},
      {"num_attention_heads", c.heads},
      {"num_key_value_heads", c.kv_heads},
      {"head_dim", c.head_dim},
      {"intermediate_size", c.ffn},
      {"max_position_embeddings", c.max_positions},
      {"rope_theta", c.rope_theta},
      {"tie_word_embeddings", c.tied_embeddings}};
  if (!c.windows.empty()) {
    out.set("use_sliding_window", true);
    out.set("sliding_window", *std::ranges::max_element(c.windows));
    out.set("layer_types", std::move(types));
  }
  return out;
}

Status write_file(const std::filesystem::path& path,
                  std::initializer_list<std::string_view> parts) {
  std::ofstream out(path, std::ios::binary);
  for (const std::string_view part : parts) {
    out.write(part.data(), static_cast<std::streamsize>(part.size()));
  }
  if (!out.flush()) return unavailable(fmt::format("cannot write {}", path.string()));
  return {};
}

}  // namespace

Status write_random_model(const std::filesystem::path& folder, const Config& config, Dtype dtype,
                          std::uint64_t seed) {
  SeededRandom random(seed);
  json::Object header;
  std::string data;
  for (const Tensor& tensor : tensors_of(config)) {
    const std::size_t begin = data.size();
    data += data_of(tensor, dtype, random);
    json::Array shape(tensor.shape.begin(), tensor.shape.end());
    constexpr std::string_view kNames[] = {"F32", "F16", "BF16"};
    header.set(tensor.name, json::Object{{"dtype", kNames[static_cast<std::size_t>(dtype)]},
                                         {"shape", std::move(shape)},
                                         {"data_offsets", json::Array{begin, data.size()}}});
  }
  const std::string text = json::dump(std::move(header));
  std::string length(8, '\0');
  for (std::size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<char>((text.size() >> (8 * i)) & 0xff);
  }
  BATON_TRY(write_file(folder / "model.safetensors", {length, text, data}));
  return write_file(folder / "config.json", {json::dump(config_json(config))});
}

Config small_config() {
  Config c;
  c.vocab = 157;
  c.hidden = 44;
  c.layers = 2;
  c.heads = 6;
  c.kv_heads = 2;
  c.head_dim = 10;
  c.ffn = 70;
  c.max_positions = 1024;
  c.rms_eps = 1e-6F;
  c.tied_embeddings = true;
  return c;
}

Config small_windowed_config() {
  Config c = small_config();
  c.qk_norm = true;
  c.windows = {0, 21};
  return c;
}

}  // namespace baton::model::testing
