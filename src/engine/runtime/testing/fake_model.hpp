#pragma once
// A model whose KV rows are hashes of the prefix and whose logits hash every row of the sequence:
// one foreign, stale or torn row changes the answer. As invariant as the real one.

#include <cstring>
#include <memory>
#include <semaphore>
#include <utility>
#include <vector>

#include "base/core/random.hpp"
#include "engine/model/model.hpp"

namespace baton::runtime::testing {

// Each forward pass takes one permit, so that a test decides how far an engine gets.
using Permits = std::counting_semaphore<>;

class FakeModel final : public model::Model {
 public:
  static constexpr std::size_t kVocab = 97;
  static constexpr token::TokenId kEos = 1;

  // `permits`, shared with the test: null for as many as wanted. `layer_permits`: the same for each
  // layer behind the first.
  explicit FakeModel(std::shared_ptr<Permits> permits = nullptr, std::size_t max_positions = 4096,
                     std::shared_ptr<Permits> layer_permits = nullptr)
      : permits_(std::move(permits)), layer_permits_(std::move(layer_permits)) {
    config_.vocab = kVocab;
    config_.hidden = 8;
    config_.layers = 3;
    config_.heads = config_.kv_heads = 2;
    config_.head_dim = 4;
    config_.ffn = 8;
    config_.max_positions = max_positions;
    config_.eos = {kEos};
  }

  const model::Config& config() const override { return config_; }
  model::KvShape kv_shape() const override {
    return {config_.layers, config_.kv_heads, config_.head_dim, model::KvType::kF32};
  }
  std::size_t weight_bytes() const override { return 0; }

  void forward(std::span<const model::Slice> slices, model::KvMemory& kv,
               std::vector<float>& logits) override {
    if (permits_) permits_->acquire();
    for (std::size_t s = 0; s < slices.size(); ++s) {
      const model::Slice& slice = slices[s];
      const std::size_t end = slice.position + slice.tokens.size();
      for (std::size_t layer = 0; layer < config_.layers; ++layer) {
        if (layer > 0 && layer_permits_) layer_permits_->acquire();
        for (std::size_t i = 0; i < slice.tokens.size(); ++i)
          write_row(slice, layer, slice.position + i, slice.tokens[i], kv);
        tell_stored({s, slice.position, end, layer + 1});
      }
      if (slice.logits == model::Slice::Logits::kNone) continue;
      const bool all = slice.logits == model::Slice::Logits::kAll;
      for (std::size_t i = all ? 0 : slice.tokens.size() - 1; i < slice.tokens.size(); ++i)
        append_logits(slice, slice.position + i + 1, kv, logits);
    }
  }

 private:
  static std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    return SeededRandom(a ^ (b * 0x9e37'79b9'7f4a'7c15)).next();
  }
  static std::byte* row(const model::Slice& slice, std::size_t layer, std::size_t position,
                        model::KvMemory& kv) {
    return kv.row(layer, slice.blocks[position / kv.block_size()], position % kv.block_size());
  }
  static void write_row(const model::Slice& slice, std::size_t layer, std::size_t position,
                        token::TokenId token, model::KvMemory& kv) {
    const std::size_t words = kv.shape().row_bytes() / sizeof(std::uint64_t);
    std::uint64_t state = mix(kWeights, layer);
    if (position > 0) std::memcpy(&state, row(slice, layer, position - 1, kv), sizeof state);
    state = mix(mix(state, token), position);
    for (std::size_t w = 0; w < words; ++w) {
      const std::uint64_t word = state + w;
      std::memcpy(row(slice, layer, position, kv) + w * sizeof word, &word, sizeof word);
    }
  }
  void append_logits(const model::Slice& slice, std::size_t length, model::KvMemory& kv,
                     std::vector<float>& logits) const {
    const std::size_t words = kv.shape().row_bytes() / sizeof(std::uint64_t);
    std::uint64_t fold = kWeights;
    for (std::size_t layer = 0; layer < config_.layers; ++layer)
      for (std::size_t p = 0; p < length; ++p)
        for (std::size_t w = 0; w < words; ++w) {
          std::uint64_t word = 0;
          std::memcpy(&word, row(slice, layer, p, kv) + w * sizeof word, sizeof word);
          fold = (fold ^ word) * 0x0000'0100'0000'01b3;
        }
    for (std::size_t v = 0; v < config_.vocab; ++v)
      logits.push_back(static_cast<float>(SeededRandom(mix(fold, v)).unit() * 8 - 4));
  }

  static constexpr std::uint64_t kWeights = 1;

  model::Config config_;
  std::shared_ptr<Permits> permits_, layer_permits_;
};

}  // namespace baton::runtime::testing
