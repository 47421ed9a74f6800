#include "engine/model/transformer.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/core/assert.hpp"

namespace baton::model {

using tensor::Store;

namespace {

constexpr std::size_t kTileRows = 96;  // tokens x query heads that share one packed span

}  // namespace

Transformer::Transformer(Config config, KvType kv_type, const tensor::Kernels& kernels,
                         std::unique_ptr<tensor::ThreadPool> pool, Weights weights)
    : config_(std::move(config)),
      kv_type_(kv_type),
      kernels_(kernels),
      pool_(std::move(pool)),
      weights_(std::move(weights)),
      rope_(config_),
      workers_(pool_->threads()),
      input_(kernels),
      mixed_(kernels) {}

KvShape Transformer::kv_shape() const {
  return {config_.layers, config_.kv_heads, config_.head_dim, kv_type_};
}

void Transformer::forward(std::span<const Slice> slices, KvMemory& kv, std::vector<float>& logits) {
  BATON_ASSERT(kv.shape() == kv_shape());
  for (std::size_t index = 0; index < slices.size(); ++index) {
    const Slice& slice = slices[index];
    BATON_ASSERT(!slice.tokens.empty());
    for (std::size_t done = 0; done < slice.tokens.size();) {
      if (pass_.rows.size() == kMaxRows) run_pass(kv, logits);
      const std::size_t count = std::min(slice.tokens.size() - done, kMaxRows - pass_.rows.size());
      const std::size_t position = slice.position + done;
      pass_.pieces.push_back(
          {slice.tokens.subspan(done, count), position, slice.blocks, pass_.rows.size(), index});
      for (std::size_t i = 0; i < count; ++i) {
        const bool last = done + i + 1 == slice.tokens.size();
        if (slice.logits == Slice::Logits::kAll || (last && slice.logits == Slice::Logits::kLast)) {
          pass_.wanted.push_back(pass_.rows.size());
        }
        BATON_ASSERT(slice.tokens[done + i] < config_.vocab);
        pass_.rows.push_back({slice.tokens[done + i], position + i, pass_.pieces.size() - 1});
      }
      done += count;
    }
  }
  run_pass(kv, logits);
}

void Transformer::plan_tiles() {
  const std::size_t tile_tokens =
      std::max<std::size_t>(1, kTileRows / (config_.heads / config_.kv_heads));
  for (std::size_t p = 0; p < pass_.pieces.size(); ++p) {
    const std::size_t tokens = pass_.pieces[p].tokens.size();
    for (std::size_t first = 0; first < tokens; first += tile_tokens) {
      for (std::size_t head = 0; head < config_.kv_heads; ++head) {
        pass_.tiles.push_back({p, first, std::min(tile_tokens, tokens - first), head});
      }
    }
  }
  // The longest first, so that the threads end together.
  std::ranges::sort(pass_.tiles, std::greater(), [&](const Tile& t) {
    return (pass_.pieces[t.piece].position + t.first + t.count) * t.count;
  });
}

void Transformer::run_pass(KvMemory& kv, std::vector<float>& logits) {
  if (pass_.rows.empty()) return;
  plan_tiles();
  embed();
  for (std::size_t layer = 0; layer < config_.layers; ++layer) {
    attention_block(layer, kv);
    ffn_block(weights_.layers[layer]);
  }
  write_logits(logits);
  pass_.clear();
}

void Transformer::embed() {
  const std::size_t rows = pass_.rows.size();
  const std::size_t half = config_.head_dim / 2;
  x_.resize(rows * config_.hidden);
  cosines_.resize(rows * half);
  sines_.resize(rows * half);
  pool_->run(rows, [&](std::size_t row, std::size_t /*worker*/) {
    float* x = &x_[row * config_.hidden];
    weights_.embedding.unpack_row(pass_.rows[row].token, x);
    if (config_.embedding_scale != 1) kernels_.scale(x, config_.hidden, config_.embedding_scale);
    rope_.angles(pass_.rows[row].position, &cosines_[row * half], &sines_[row * half]);
  });
}

void Transformer::normalize(const std::vector<float>& weight, const tensor::Matrix& reader) {
  input_.resize(reader.dtype(), pass_.rows.size(), config_.hidden);
  pool_->run(pass_.rows.size(), [&](std::size_t row, std::size_t worker) {
    std::vector<float>& out = workers_[worker].row;
    out.resize(config_.hidden);
    kernels_.rms_norm(&x_[row * config_.hidden], weight.data(), config_.hidden, config_.rms_eps,
                      out.data());
    input_.put(row, 0, out.data(), config_.hidden);
    input_.finish(row);
  });
}

void Transformer::finish(tensor::Activations& input) {
  if (!input.needs_finish()) return;
  pool_->run(input.rows(), [&](std::size_t row, std::size_t /*worker*/) { input.finish(row); });
}

void Transformer::project(const tensor::Matrix& matrix, const tensor::Activations& input,
                          float* output, Store store) {
  pool_->run(matrix.panels(), [&](std::size_t panel, std::size_t /*worker*/) {
    matrix.multiply(panel, input, 0, input.rows(), output + panel * kernels_.panel_width,
                    matrix.outputs(), store);
  });
}

void Transformer::add_bias(const std::vector<float>& bias, float* rows) {
  if (bias.empty()) return;
  for (std::size_t row = 0; row < pass_.rows.size(); ++row, rows += bias.size()) {
    for (std::size_t i = 0; i < bias.size(); ++i) rows[i] += bias[i];
  }
}

void Transformer::attention_block(std::size_t layer, KvMemory& kv) {
  const LayerWeights& weights = weights_.layers[layer];
  normalize(weights.attention_norm, weights.qkv);
  qkv_.resize(pass_.rows.size() * weights.qkv.outputs());
  project(weights.qkv, input_, qkv_.data(), Store::kSet);
  add_bias(weights.qkv_bias, qkv_.data());
  rotate_and_store(layer, kv);
  for (const Piece& piece : pass_.pieces)
    tell_stored({piece.slice, piece.position, piece.position + piece.tokens.size(), layer + 1});
  mixed_.resize(weights.output.dtype(), pass_.rows.size(), weights.output.inputs());
  pool_->run(pass_.tiles.size(), [&](std::size_t tile, std::size_t worker) {
    attend(pass_.tiles[tile], layer, kv, worker);
  });
  finish(mixed_);
  project(weights.output, mixed_, x_.data(), Store::kAdd);
  add_bias(weights.output_bias, x_.data());
}

void Transformer::rotate_and_store(std::size_t layer, KvMemory& kv) {
  const std::size_t heads = config_.heads + config_.kv_heads;
  const std::size_t half = config_.head_dim / 2;
  const std::size_t stride = (heads + config_.kv_heads) * config_.head_dim;
  const std::size_t kv_elements = kv.shape().row_elements();
  pool_->run(pass_.rows.size(), [&](std::size_t row, std::size_t /*worker*/) {
    float* q = &qkv_[row * stride];
    if (config_.qk_norm) normalize_heads(weights_.layers[layer], q);
    rope_.rotate(q, heads, &cosines_[row * half], &sines_[row * half]);
    const float* k = q + config_.heads * config_.head_dim;  // V follows
    const auto& [token, position, piece] = pass_.rows[row];
    const BlockIndex block = pass_.pieces[piece].blocks[position / kv.block_size()];
    std::byte* to = kv.row(layer, block, position % kv.block_size());
    if (kv_type_ == KvType::kBf16) {
      kernels_.to_bf16(k, kv_elements, reinterpret_cast<std::uint16_t*>(to));
    } else {
      std::copy_n(k, kv_elements, reinterpret_cast<float*>(to));
    }
  });
}

void Transformer::normalize_heads(const LayerWeights& layer, float* qk) {
  const std::size_t dim = config_.head_dim;
  for (std::size_t head = 0; head < config_.heads + config_.kv_heads; ++head, qk += dim) {
    const auto& weight = head < config_.heads ? layer.q_norm : layer.k_norm;
    kernels_.rms_norm(qk, weight.data(), dim, config_.rms_eps, qk);
  }
}

void Transformer::attend(const Tile& tile, std::size_t layer, const KvMemory& kv,
                         std::size_t worker) {
  const Piece& piece = pass_.pieces[tile.piece];
  const std::size_t dim = config_.head_dim;
  const std::size_t group = config_.heads / config_.kv_heads;
  const std::size_t stride = (config_.heads + 2 * config_.kv_heads) * dim;
  const std::size_t row = piece.row + tile.first;
  const std::size_t element = bytes_per_element(kv_type_);
  std::vector<float>& out = workers_[worker].row;
  out.resize(tile.count * group * dim);
  workers_[worker].attention.run(
      kernels_,
      {.q = &qkv_[row * stride + tile.kv_head * group * dim],
       .q_stride = stride,
       .tokens = tile.count,
       .group = group,
       .head_dim = dim,
       .position = piece.position + tile.first,
       .window = config_.windows.empty() ? 0 : config_.windows[layer],
       .scale = config_.attention_scale,
       .kv = kv_type_ == KvType::kBf16 ? tensor::Attention::Kv::kBf16 : tensor::Attention::Kv::kF32,
       .rows = {.layer = kv.row(layer, BlockIndex{}, 0),
                .row_bytes = kv.shape().row_bytes(),
                .block_size = kv.block_size(),
                .blocks = piece.blocks},
       .k_offset = tile.kv_head * dim * element,
       .v_offset = (config_.kv_heads + tile.kv_head) * dim * element,
       .out = out.data(),
       .out_stride = group * dim});
  if (config_.residual_scale != 1) kernels_.scale(out.data(), out.size(), config_.residual_scale);
  for (std::size_t t = 0; t < tile.count; ++t) {
    mixed_.put(row + t, tile.kv_head * group * dim, &out[t * group * dim], group * dim);
  }
}

void Transformer::ffn_block(const LayerWeights& layer) {
  const std::size_t rows = pass_.rows.size();
  const std::size_t width = kernels_.panel_width;
  normalize(layer.ffn_norm, layer.gate);
  mixed_.resize(layer.down.dtype(), rows, config_.ffn);
  pool_->run(layer.gate.panels(), [&](std::size_t panel, std::size_t worker) {
    auto& [attention, gate, up, spare] = workers_[worker];
    gate.resize(rows * width);
    up.resize(rows * width);
    layer.gate.multiply(panel, input_, 0, rows, gate.data(), width, Store::kSet);
    layer.up.multiply(panel, input_, 0, rows, up.data(), width, Store::kSet);
    const std::size_t columns = layer.gate.width_of(panel);
    for (std::size_t row = 0; row < rows; ++row) {
      float* g = &gate[row * width];
      float* u = &up[row * width];
      for (std::size_t i = 0; i < columns && !layer.gate_bias.empty(); ++i) {
        g[i] += layer.gate_bias[panel * width + i];
        u[i] += layer.up_bias[panel * width + i];
      }
      kernels_.silu_mul(g, u, columns, g);
      if (config_.residual_scale != 1) kernels_.scale(g, columns, config_.residual_scale);
      mixed_.put(row, panel * width, g, columns);
    }
  });
  finish(mixed_);
  project(layer.down, mixed_, x_.data(), Store::kAdd);
  add_bias(layer.down_bias, x_.data());
}

void Transformer::write_logits(std::vector<float>& logits) {
  const std::size_t count = pass_.wanted.size();
  if (count == 0) return;
  input_.resize(weights_.head.dtype(), count, config_.hidden);
  std::vector<float>& out = workers_.front().row;
  out.resize(config_.hidden);
  for (std::size_t i = 0; i < count; ++i) {
    kernels_.rms_norm(&x_[pass_.wanted[i] * config_.hidden], weights_.final_norm.data(),
                      config_.hidden, config_.rms_eps, out.data());
    if (config_.logits_scale != 1) kernels_.scale(out.data(), out.size(), config_.logits_scale);
    input_.put(i, 0, out.data(), config_.hidden);
    input_.finish(i);
  }
  const std::size_t before = logits.size();
  logits.resize(before + count * config_.vocab);
  project(weights_.head, input_, logits.data() + before, Store::kSet);
}

}  // namespace baton::model
