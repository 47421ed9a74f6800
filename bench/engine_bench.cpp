// Prefill and decode speed of the engine's model on a random model of the 135M or 1.1B class.
//
//   engine_bench [--threads N] [--isa scalar|avx2|avx512-bf16] [--model 135m|1.1b]
//                [--quantization none|int8] [--prompt TOKENS] [--rounds N]
//                [--extent full|beside] [--folder FOLDER] [--json FILE]
//
// The best of N rounds counts. The model is written into FOLDER and stays there, unless one is
// there.
//
// Before a number counts, the results are checked: decode and chunked prefill give the bits of one
// prefill, two threads those of one, and the instruction set agrees with the scalar kernels. With
// --extent beside only what is compared with a peer is measured, and the peer is the check. No rate
// may be above what the machine can do.

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/random.hpp"
#include "base/text/json.hpp"
#include "cpu_time.hpp"
#include "engine/model/model.hpp"
#include "engine/model/testing/random_model.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "roofline.hpp"

namespace baton::model {
namespace {

namespace json = text::json;
using bench::cpu_seconds;
using bench::fail;
using bench::must;

struct Options {
  std::size_t threads = 2;
  tensor::Isa isa = tensor::best_isa();
  bool large = false;  // the 1.1B class
  Quantization quantization = Quantization::kNone;
  std::size_t prompt = 1024;
  std::size_t rounds = 5;
  bool beside = false;
  std::string folder;  // empty: a temporary one
  std::string json_file;
};

struct Times {
  double wall = 0;  // seconds
  double cpu = 0;   // of all threads
};

// Random prompts, one after the other in KV memory.
class Sequences {
 public:
  Sequences(Model& model, std::size_t count, std::size_t capacity)
      : model_(model), kv_(model.kv_shape(), count * (capacity / 16 + 1), 16) {
    SeededRandom random(5);
    tables_.resize(count);
    for (std::size_t i = 0; i < kv_.blocks(); ++i) {
      tables_[i / (capacity / 16 + 1)].push_back(BlockIndex(i));
    }
    for (std::size_t i = 0; i < capacity; ++i) {
      tokens_.push_back(static_cast<TokenId>(random.below(model.config().vocab)));
    }
  }

  const std::vector<TokenId>& tokens() const { return tokens_; }

  // Feeds tokens [from, to) of every sequence in one step; the logits of each one's last token.
  const std::vector<float>& feed(std::size_t from, std::size_t to) {
    std::vector<Slice> slices;
    for (const auto& table : tables_) {
      slices.push_back({std::span(tokens_).subspan(from, to - from), from, table});
    }
    logits_.clear();
    model_.forward(slices, kv_, logits_);
    return logits_;
  }

 private:
  Model& model_;
  KvMemory kv_;
  std::vector<std::vector<BlockIndex>> tables_;
  std::vector<TokenId> tokens_;
  std::vector<float> logits_;
};

// The best of `rounds`, of either clock: what the machine can do when it is left alone.
template <class Body>
Times best_of(std::size_t rounds, Body body) {
  Times best{1e9, 1e9};
  for (std::size_t i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const double cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
    body();
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    best = {std::min(best.wall, wall.count()),
            std::min(best.cpu, cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu)};
  }
  return best;
}

Config model_135m() {
  Config c;
  c.vocab = 49152;
  c.hidden = 576;
  c.layers = 30;
  c.heads = 9;
  c.kv_heads = 3;
  c.head_dim = 64;
  c.ffn = 1536;
  c.max_positions = 8192;
  c.tied_embeddings = true;
  return c;
}

Config model_1_1b() {
  Config c;
  c.vocab = 32000;
  c.hidden = 2048;
  c.layers = 22;
  c.heads = 32;
  c.kv_heads = 4;
  c.head_dim = 64;
  c.ffn = 5632;
  c.max_positions = 2048;
  return c;
}

std::vector<float> last_logits(Model& model, std::initializer_list<std::size_t> ends) {
  Sequences sequence(model, 1, 128);
  std::size_t from = 0;
  std::vector<float> logits;
  for (const std::size_t to : ends) {
    logits = sequence.feed(from, to);
    from = to;
  }
  return logits;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check_results(const std::filesystem::path& folder, const Options& options, Model& model) {
  const auto whole = last_logits(model, {100});
  if (!same_bits(whole, last_logits(model, {1, 37, 98, 99, 100}))) {
    fail("a chunked prompt gives other bits than a whole one");
  }
  const auto single = must(Model::load(
      folder, {.threads = 1, .isa = options.isa, .quantization = options.quantization}));
  if (!same_bits(whole, last_logits(*single, {100}))) {
    fail("one thread gives other bits than several");
  }
  const auto reference = must(Model::load(
      folder, {.threads = 2, .isa = tensor::Isa::kScalar, .quantization = options.quantization}));
  const auto expected = last_logits(*reference, {100});
  double error = 0;
  double largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error = std::max(error, std::abs(double{expected[i]} - whole[i]));
    largest = std::max(largest, std::abs(double{expected[i]}));
  }
  // Both keep KV in bf16; AVX-512 rounds activations to bf16 as well.
  constexpr double kBound = 0.06;
  if (error > kBound * largest) {
    fail(fmt::format("logits are off the scalar kernels by {:.3f} of {:.3f}", error, largest));
  }
  fmt::print(
      "checked: same bits in chunks and on 1 thread; within {:.4f} of the scalar kernels "
      "(largest logit 1)\n",
      error / largest);
}

double layer_weights(const Config& c) {
  const double h = static_cast<double>(c.hidden);
  const double q = static_cast<double>(c.heads * c.head_dim);
  const double kv = static_cast<double>(c.kv_heads * c.head_dim);
  return (h * (q + 2 * kv) + q * h + 3 * h * static_cast<double>(c.ffn)) *
         static_cast<double>(c.layers);
}
double head_weights(const Config& c) { return static_cast<double>(c.hidden * c.vocab); }

double attention_flops(const Config& c, double context) {
  return 4 * context * static_cast<double>(c.heads * c.head_dim * c.layers);
}

json::Array numbers(const std::vector<TokenId>& tokens) { return {tokens.begin(), tokens.end()}; }

// The tokens that follow the first `prompt` of the random prompt: what a peer is held against.
std::vector<TokenId> greedy(Model& model, std::size_t prompt, std::size_t count) {
  std::vector<TokenId> all = Sequences(model, 1, prompt).tokens();
  KvMemory kv(model.kv_shape(), (prompt + count) / 16 + 1, 16);
  std::vector<BlockIndex> blocks;
  for (std::size_t i = 0; i < kv.blocks(); ++i) blocks.push_back(BlockIndex(i));
  std::vector<TokenId> out;
  for (std::size_t from = 0; out.size() < count; from = all.size() - 1) {
    const Slice slice{.tokens = std::span(all).subspan(from), .position = from, .blocks = blocks};
    std::vector<float> logits;
    model.forward({&slice, 1}, kv, logits);
    out.push_back(static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin()));
    all.push_back(out.back());
  }
  return out;
}

class Report {
 public:
  Report(json::Object head, const bench::Roofline& roof) : head_(std::move(head)), roof_(roof) {
    fmt::print("roofline: {:.0f} GFLOP/s, {:.1f} GB/s\n", roof.flops / 1e9, roof.bytes / 1e9);
    fmt::print("{:<28} {:>9} {:>10} {:>9} {:>9} {:>8}\n", "what", "tokens/s", "cpu ms/tok",
               "GFLOP/s", "GB/s", "cores");
  }
  void line(const std::string& what, double tokens, Times t, double flops, double bytes) {
    if (above(flops / t.wall, roof_.flops) || above(bytes / t.wall, roof_.bytes)) {
      fail(fmt::format("{}: {:.0f} GFLOP/s and {:.1f} GB/s: more than the machine can do", what,
                       flops / t.wall / 1e9, bytes / t.wall / 1e9));
    }
    fmt::print("{:<28} {:>9.1f} {:>10.3f} {:>9.1f} {:>9.1f} {:>8.2f}\n", what, tokens / t.wall,
               1e3 * t.cpu / tokens, flops / t.wall / 1e9, bytes / t.wall / 1e9, t.cpu / t.wall);
    rows_.push_back(json::Object{{"what", what},
                                 {"tokens_per_second", tokens / t.wall},
                                 {"tokens_per_cpu_second", tokens / t.cpu},
                                 {"gflop_per_second", flops / t.wall / 1e9},
                                 {"gb_per_second", bytes / t.wall / 1e9},
                                 {"flop_per_token", flops / tokens},
                                 {"bytes_per_token", bytes / tokens}});
  }
  void write(const std::string& file) {
    head_.set("results", std::move(rows_));
    bench::save(head_, file);
  }

 private:
  // Clocks and turbo differ a little from one second to the next.
  static bool above(double rate, double limit) { return limit > 0 && rate > 1.05 * limit; }

  json::Object head_;
  bench::Roofline roof_;
  json::Array rows_;
};

void measure_prefill(Model& model, std::size_t prompt, std::size_t rounds, Report& report) {
  const auto tokens = static_cast<double>(prompt);
  const Times t =
      best_of(rounds, [&, s = Sequences(model, 1, prompt)]() mutable { s.feed(0, prompt); });
  const double flops =
      tokens * (2 * layer_weights(model.config()) + attention_flops(model.config(), tokens / 2));
  report.line(fmt::format("prefill {}", prompt), tokens, t, flops, 0);
}

void measure_decode(Model& model, std::size_t context, std::size_t batch, const Options& options,
                    Report& report) {
  constexpr std::size_t kSteps = 16;
  Sequences sequences(model, batch, context + kSteps);
  sequences.feed(0, context);
  const Times t = best_of(options.rounds, [&] {
    for (std::size_t i = 0; i < kSteps; ++i) sequences.feed(context + i, context + i + 1);
  });
  const auto tokens = static_cast<double>(kSteps * batch);
  const Config& c = model.config();
  // Each is multiplied once a token, and read once a step.
  const double weights = layer_weights(c) + head_weights(c);
  const double weight_bytes = options.quantization == Quantization::kNone ? 2 : 1;
  const auto kv_bytes = static_cast<double>(context * c.layers * model.kv_shape().row_bytes());
  report.line(fmt::format("decode batch {} at {}", batch, context), tokens, t,
              tokens * (2 * weights + attention_flops(c, static_cast<double>(context))),
              kSteps * weights * weight_bytes + tokens * kv_bytes);
}

void run(const Options& options) {
  const testing::TemporaryFolder temporary;
  const std::filesystem::path folder =
      options.folder.empty() ? temporary.path() : std::filesystem::path(options.folder);
  if (!std::filesystem::exists(folder / "config.json")) {
    std::filesystem::create_directories(folder);
    const auto written = testing::write_random_model(
        folder, options.large ? model_1_1b() : model_135m(), tensor::Dtype::kBf16, 1);
    if (!written) fail(written.error().message());
  }
  std::unique_ptr<Model> model;
  const Times loading = best_of(1, [&] {
    model = must(Model::load(
        folder,
        {.threads = options.threads, .isa = options.isa, .quantization = options.quantization}));
  });
  fmt::print(
      "{} class, {}, {} threads, {}, {:.1f} MB of weights, loaded in {:.2f} s ({:.2f} s CPU)\n",
      options.large ? "1.1B" : "135M",
      options.quantization == Quantization::kNone ? "bf16" : "int8", options.threads,
      tensor::name(options.isa), static_cast<double>(model->weight_bytes()) / 1e6, loading.wall,
      loading.cpu);
  if (!options.beside) check_results(folder, options, *model);
  const bench::Roofline roof =
      bench::measure_roofline(options.isa,
                              options.quantization == Quantization::kNone ? bench::Products::kFloat
                                                                          : bench::Products::k8Bit,
                              options.threads);
  Report report({{"threads", options.threads},
                 {"isa", tensor::name(options.isa)},
                 {"quantization", options.quantization == Quantization::kNone ? "none" : "int8"},
                 {"prompt", numbers(Sequences(*model, 1, options.prompt).tokens())},
                 {"greedy", numbers(greedy(*model, 100, 16))},
                 {"weight_bytes", model->weight_bytes()},
                 {"roofline_flop_per_second", roof.flops},
                 {"roofline_bytes_per_second", roof.bytes},
                 {"load_seconds", loading.wall}},
                roof);
  if (!options.beside) measure_prefill(*model, 128, options.rounds, report);
  measure_prefill(*model, options.prompt, options.rounds, report);
  for (const std::size_t batch : std::array<std::size_t, 4>{1, 4, 8, 16}) {
    if (options.beside && batch != 1 && batch != 8) continue;
    measure_decode(*model, 128, batch, options, report);
  }
  if (!options.beside) measure_decode(*model, options.prompt, 1, options, report);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("peak memory {} MB\n", usage.ru_maxrss / 1024);
  report.write(options.json_file);
}

}  // namespace
}  // namespace baton::model

int main(int argc, char** argv) {
  using baton::model::Quantization;
  using baton::tensor::Isa;
  baton::model::Options options;
  baton::bench::Flags(
      "[--threads N] [--isa scalar|avx2|avx512-bf16] [--model 135m|1.1b] [--quantization "
      "none|int8] "
      "[--prompt TOKENS] [--rounds N] [--extent full|beside] [--folder FOLDER] [--json FILE]")
      .count("--threads", options.threads)
      .choice("--isa", options.isa,
              {{name(Isa::kScalar), Isa::kScalar},
               {name(Isa::kAvx2), Isa::kAvx2},
               {name(Isa::kAvx512Bf16), Isa::kAvx512Bf16}})
      .choice("--model", options.large, {{"135m", false}, {"1.1b", true}})
      .choice("--quantization", options.quantization,
              {{"none", Quantization::kNone}, {"int8", Quantization::kInt8}})
      .count("--prompt", options.prompt)
      .count("--rounds", options.rounds)
      .choice("--extent", options.beside, {{"full", false}, {"beside", true}})
      .text("--folder", options.folder)
      .text("--json", options.json_file)
      .read(argc, argv);
  baton::model::run(options);
}
