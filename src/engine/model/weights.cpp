#include "engine/model/weights.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "engine/model/finite.hpp"
#include "engine/model/safetensors.hpp"

namespace baton::model {

using tensor::Dtype;
using tensor::Matrix;
using tensor::Source;

namespace {

const std::string kEmbedding = "model.embed_tokens.weight";

struct Part {
  std::string name;
  std::size_t rows;
};

std::optional<Dtype> dtype_of(std::string_view name) {
  if (name == "F32") return Dtype::kF32;
  if (name == "F16") return Dtype::kF16;
  if (name == "BF16") return Dtype::kBf16;
  return std::nullopt;
}

class Loader {
 public:
  Loader(const Checkpoint& checkpoint, const Config& config, const tensor::Kernels& kernels,
         tensor::ThreadPool& pool, const LoadOptions& options)
      : checkpoint_(checkpoint),
        config_(config),
        kernels_(kernels),
        pool_(pool),
        quantization_(options.quantization),
        progress_(options.progress) {
    for (const auto& [name, tensor] : checkpoint_.tensors()) all_bytes_ += tensor.data.size();
  }

  Result<Weights> load() {
    Weights out;
    out.arena = std::make_unique<tensor::Arena>(capacity());
    arena_ = out.arena.get();
    BATON_TRY_ASSIGN(out.embedding,
                     matrix({{kEmbedding, config_.vocab}}, config_.hidden, Quantization::kNone));
    for (std::size_t i = 0; i < config_.layers; ++i) {
      BATON_TRY_ASSIGN(LayerWeights weights, layer(fmt::format("model.layers.{}.", i)));
      out.layers.push_back(std::move(weights));
    }
    BATON_TRY_ASSIGN(out.final_norm, vector("model.norm.weight", config_.hidden));
    const std::string head = config_.tied_embeddings ? kEmbedding : "lm_head.weight";
    if (config_.tied_embeddings && quantization_ == Quantization::kNone) {
      out.head = out.embedding;
    } else {
      BATON_TRY_ASSIGN(out.head, matrix({{head, config_.vocab}}, config_.hidden));
    }
    used_.insert("lm_head.weight");
    BATON_TRY(refuse_unused());
    return out;
  }

 private:
  // Upper bound: everything as f32, every tensor padded to whole panels.
  std::size_t capacity() const {
    std::size_t bytes = 0;
    for (const auto& [name, tensor] : checkpoint_.tensors()) {
      const auto& shape = tensor.info.shape;
      const std::size_t columns = shape.empty() ? 1 : shape.back();
      // A tied head that is quantized is a copy of the embedding.
      const std::size_t copies = name == kEmbedding ? 2 : 1;
      bytes += copies * (tensor.data.size() * 2 +
                         (kernels_.panel_width * (columns + 1) + 16) * sizeof(float));
    }
    return bytes;
  }

  Result<LayerWeights> layer(const std::string& prefix) {
    const std::size_t q = config_.heads * config_.head_dim;
    const std::size_t kv = config_.kv_heads * config_.head_dim;
    const std::string attention = prefix + "self_attn.";
    const std::string mlp = prefix + "mlp.";
    LayerWeights out;
    BATON_TRY_ASSIGN(out.attention_norm, vector(prefix + "input_layernorm.weight", config_.hidden));
    BATON_TRY_ASSIGN(out.qkv, matrix({{attention + "q_proj.weight", q},
                                      {attention + "k_proj.weight", kv},
                                      {attention + "v_proj.weight", kv}},
                                     config_.hidden));
    BATON_TRY_ASSIGN(out.output, matrix({{attention + "o_proj.weight", config_.hidden}}, q));
    if (config_.qkv_bias) {
      for (const auto& [name, size] : {Part{"q_proj", q}, {"k_proj", kv}, {"v_proj", kv}}) {
        BATON_TRY_ASSIGN(const auto bias, vector(attention + name + ".bias", size));
        out.qkv_bias.insert(out.qkv_bias.end(), bias.begin(), bias.end());
      }
    }
    if (config_.output_bias) {
      BATON_TRY_ASSIGN(out.output_bias, residual_bias(attention + "o_proj.bias"));
    }
    if (config_.qk_norm) {
      BATON_TRY_ASSIGN(out.q_norm, vector(attention + "q_norm.weight", config_.head_dim));
      BATON_TRY_ASSIGN(out.k_norm, vector(attention + "k_norm.weight", config_.head_dim));
    }
    BATON_TRY_ASSIGN(out.ffn_norm,
                     vector(prefix + "post_attention_layernorm.weight", config_.hidden));
    BATON_TRY(feed_forward(mlp, out));
    return out;
  }

  Status feed_forward(const std::string& mlp, LayerWeights& out) {
    BATON_TRY_ASSIGN(out.gate, matrix({{mlp + "gate_proj.weight", config_.ffn}}, config_.hidden));
    BATON_TRY_ASSIGN(out.up, matrix({{mlp + "up_proj.weight", config_.ffn}}, config_.hidden));
    BATON_TRY_ASSIGN(out.down, matrix({{mlp + "down_proj.weight", config_.hidden}}, config_.ffn));
    if (out.gate.dtype() != out.up.dtype()) {
      return invalid(
          fmt::format("'{0}gate_proj.weight' and '{0}up_proj.weight' differ in type", mlp));
    }
    if (!config_.mlp_bias) return {};
    BATON_TRY_ASSIGN(out.gate_bias, vector(mlp + "gate_proj.bias", config_.ffn));
    BATON_TRY_ASSIGN(out.up_bias, vector(mlp + "up_proj.bias", config_.ffn));
    BATON_TRY_ASSIGN(out.down_bias, residual_bias(mlp + "down_proj.bias"));
    return {};
  }

  // The tensor when it has this shape and a float type.
  Result<std::pair<const Checkpoint::Tensor*, Dtype>> find(
      const std::string& name, std::initializer_list<std::uint64_t> shape) {
    const Checkpoint::Tensor* tensor = checkpoint_.find(name);
    if (tensor == nullptr) return invalid(fmt::format("no tensor '{}'", name));
    const auto dtype = dtype_of(tensor->info.dtype);
    if (!dtype) {
      return invalid(fmt::format("tensor '{}' in {} is {}; F32, F16 and BF16 are supported", name,
                                 tensor->file, tensor->info.dtype));
    }
    if (!std::ranges::equal(tensor->info.shape, shape)) {
      return invalid(fmt::format("tensor '{}' in {} is [{}]; config.json makes it [{}]", name,
                                 tensor->file, fmt::join(tensor->info.shape, ", "),
                                 fmt::join(shape, ", ")));
    }
    if (used_.insert(name).second) {
      if (const auto bad = first_non_number(tensor->data, *dtype)) {
        return invalid(
            fmt::format("tensor '{}' in {}: element {} is no number: the file is damaged", name,
                        tensor->file, *bad));
      }
    }
    return std::pair(tensor, *dtype);
  }

  Result<std::vector<float>> vector(const std::string& name, std::size_t size) {
    BATON_TRY_ASSIGN(const auto found, find(name, {size}));
    std::vector<float> out(size);
    tensor::widen(found.second, found.first->data.data(), size, out.data());
    return out;
  }

  Result<std::vector<float>> residual_bias(const std::string& name) {
    BATON_TRY_ASSIGN(std::vector<float> out, vector(name, config_.hidden));
    for (float& x : out) x *= config_.residual_scale;
    return out;
  }

  Result<Matrix> matrix(std::initializer_list<Part> parts, std::size_t columns) {
    return matrix(parts, columns, quantization_);
  }

  Result<Matrix> matrix(std::initializer_list<Part> parts, std::size_t columns,
                        Quantization quantization) {
    std::vector<Source> sources;
    std::vector<const Checkpoint::Tensor*> tensors;
    for (const Part& part : parts) {
      BATON_TRY_ASSIGN(const auto found, find(part.name, {part.rows, columns}));
      sources.push_back({found.second, found.first->data.data(), part.rows, columns});
      tensors.push_back(found.first);
    }
    const Dtype dtype =
        quantization == Quantization::kInt8 ? Dtype::kI8 : tensor::common_type(sources);
    Matrix out(kernels_, *arena_, dtype, sources);
    pool_.run(out.panels(),
              [&](std::size_t panel, std::size_t /*worker*/) { out.pack(panel, sources); });
    for (const Checkpoint::Tensor* tensor : tensors) {
      tensor->mapping->forget(tensor->data);
      done_bytes_ += tensor->data.size();
    }
    // A tied head is laid out twice when it is quantized.
    if (progress_) progress_(std::min(done_bytes_, all_bytes_), all_bytes_);
    return out;
  }

  // A tensor that nothing reads means that this is not the model we take it for.
  Status refuse_unused() const {
    for (const auto& [name, tensor] : checkpoint_.tensors()) {
      if (used_.contains(name) || name.ends_with(".rotary_emb.inv_freq")) continue;
      return invalid(fmt::format("tensor '{}' in {} has no place in the model of config.json", name,
                                 tensor.file));
    }
    return {};
  }

  const Checkpoint& checkpoint_;
  const Config& config_;
  const tensor::Kernels& kernels_;
  tensor::ThreadPool& pool_;
  const Quantization quantization_;
  const std::function<void(std::uint64_t done, std::uint64_t total)>& progress_;
  std::uint64_t done_bytes_ = 0, all_bytes_ = 0;
  tensor::Arena* arena_ = nullptr;
  std::set<std::string, std::less<>> used_;
};

}  // namespace

Result<Weights> load_weights(const std::filesystem::path& folder, const Config& config,
                             const tensor::Kernels& kernels, tensor::ThreadPool& pool,
                             const LoadOptions& options) {
  BATON_TRY_ASSIGN(const Checkpoint checkpoint, Checkpoint::open(folder));
  return Loader(checkpoint, config, kernels, pool, options).load().with(folder.string());
}

}  // namespace baton::model
