#pragma once
// The forward pass of a Llama-shaped transformer.

#include <vector>

#include "engine/model/model.hpp"
#include "engine/model/rope.hpp"
#include "engine/model/weights.hpp"
#include "engine/tensor/attention.hpp"

namespace baton::model {

// Rows that go through the layers together: bounds the working memory, and keeps it near the cores.
inline constexpr std::size_t kMaxRows = 192;

class Transformer final : public Model {
 public:
  Transformer(Config config, KvType kv_type, const tensor::Kernels& kernels,
              std::unique_ptr<tensor::ThreadPool> pool, Weights weights);

  const Config& config() const override { return config_; }
  KvShape kv_shape() const override;
  std::size_t weight_bytes() const override { return weights_.bytes(); }
  tensor::PageKind weight_pages() const override { return weights_.arena->kind(); }
  void adopt_thread() override { pool_->bind_owner(); }
  void forward(std::span<const Slice> slices, KvMemory& kv, std::vector<float>& logits) override;

 private:
  // Consecutive tokens of one slice, and the rows they take.
  struct Piece {
    std::span<const TokenId> tokens;
    std::size_t position = 0;
    std::span<const BlockIndex> blocks;
    std::size_t row = 0;    // of tokens[0]
    std::size_t slice = 0;  // its index
  };
  // What one thread attends to at a time.
  struct Tile {
    std::size_t piece = 0;
    std::size_t first = 0;  // token of the piece
    std::size_t count = 0;
    std::size_t kv_head = 0;
  };
  struct Row {
    TokenId token = 0;
    std::size_t position = 0;
    std::size_t piece = 0;
  };
  // One trip through the layers: at most kMaxRows rows.
  struct Pass {
    std::vector<Piece> pieces;
    std::vector<Row> rows;
    std::vector<Tile> tiles;
    std::vector<std::size_t> wanted;  // rows whose logits are asked for

    void clear() {
      pieces.clear();
      rows.clear();
      tiles.clear();
      wanted.clear();
    }
  };

  void plan_tiles();
  void run_pass(KvMemory& kv, std::vector<float>& logits);
  void embed();
  void attention_block(std::size_t layer, KvMemory& kv);
  void ffn_block(const LayerWeights& layer);
  void normalize(const std::vector<float>& weight, const tensor::Matrix& reader);
  void normalize_heads(const LayerWeights& layer, float* qk);
  void rotate_and_store(std::size_t layer, KvMemory& kv);
  void attend(const Tile& tile, std::size_t layer, const KvMemory& kv, std::size_t worker);
  void finish(tensor::Activations& input);
  void project(const tensor::Matrix& matrix, const tensor::Activations& input, float* output,
               tensor::Store store);
  void add_bias(const std::vector<float>& bias, float* rows);
  void write_logits(std::vector<float>& logits);

  struct Worker {
    tensor::AttentionScratch attention;
    std::vector<float> gate, up, row;
  };

  Config config_;
  KvType kv_type_;
  const tensor::Kernels& kernels_;
  std::unique_ptr<tensor::ThreadPool> pool_;
  Weights weights_;
  Rope rope_;

  Pass pass_;
  std::vector<Worker> workers_;
  std::vector<float> x_;                // [rows, hidden]: the residual stream
  std::vector<float> qkv_;              // [rows, (heads + 2 * kv_heads) * head_dim]
  std::vector<float> cosines_, sines_;  // [rows, head_dim / 2]
  tensor::Activations input_;           // of the matrix that comes next
  tensor::Activations mixed_;           // attention's output, and the gated inner layer
};

}  // namespace baton::model
