// Writes a model folder with random weights, for `bench/serving/compare`: the layers of
// SmolLM2-135M (30 of 576, 9 heads on 3) with a vocabulary for the storyteller's tokenizer.
//
//   random_model FOLDER TOKENIZER_FOLDER

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "engine/model/testing/random_model.hpp"
#include "figures.hpp"

namespace fs = std::filesystem;

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: random_model FOLDER TOKENIZER_FOLDER\n");
    return 2;
  }
  baton::model::Config config;
  config.vocab = 1024;
  config.hidden = 576;
  config.layers = 30;
  config.heads = 9;
  config.kv_heads = 3;
  config.head_dim = 64;
  config.ffn = 1536;
  config.max_positions = 4096;
  config.tied_embeddings = true;
  const fs::path folder = argv[1], tokenizer = argv[2];
  fs::create_directories(folder);
  const auto written =
      baton::model::testing::write_random_model(folder, config, baton::tensor::Dtype::kBf16, 1);
  if (!written) baton::bench::fail(written.error().message());
  for (const auto* file : {"tokenizer.json", "tokenizer_config.json"}) {
    fs::copy_file(tokenizer / file, folder / file, fs::copy_options::overwrite_existing);
  }
  return 0;
}
