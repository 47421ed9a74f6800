// What a picker pays to follow its engines' KV caches, a core: payloads decoded, their blocks
// keyed, and the same into the index.
//
//   kv_events_bench [--json FILE]
//
// Blocks of 16 tokens with ids below 128,256 (Llama 3's vocabulary), 1 and 8 blocks an event, 4
// events a batch, both shapes of vLLM. Before a number counts: every batch read gives what was
// written, and the index holds exactly the chains that were announced.

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/core/random.hpp"
#include "base/text/json.hpp"
#include "cpu_time.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "formats/kv/block_keys.hpp"
#include "formats/kv/kv_event.hpp"
#include "routing/index/event_index.hpp"

namespace baton {
namespace {

using bench::cpu_seconds;
using bench::fail;

constexpr std::uint32_t kBlock = 16, kVocabulary = 128'256;
constexpr std::size_t kEvents = 4, kBlocks = 1 << 18;
constexpr int kRounds = 5;

struct Traffic {
  std::vector<kv::EventBatch> batches;
  std::vector<std::string> payloads;
};

// Prompts of 64 blocks, announced `blocks` at a time.
Traffic traffic(std::size_t blocks, kv::EventShape shape) {
  SeededRandom random(7);
  Traffic out;
  std::uint64_t hash = 0;
  std::optional<kv::EngineHash> parent;
  kv::EventBatch batch;
  for (std::size_t made = 0; made < kBlocks; made += blocks) {
    if (made % 64 == 0) parent.reset();
    kv::BlockStored event;
    event.parent = parent;
    event.block_size = kBlock;
    event.medium = "gpu";
    for (std::size_t i = 0; i < blocks; ++i) event.hashes.push_back(random.next() | ++hash << 44);
    for (std::size_t i = 0; i < blocks * kBlock; ++i) {
      event.tokens.push_back(static_cast<std::uint32_t>(random.below(kVocabulary)));
    }
    parent = event.hashes.back();
    batch.events.emplace_back(std::move(event));
    if (batch.events.size() < kEvents) continue;
    batch.ts = 1.5, batch.rank = 0;
    out.payloads.push_back(kv::encode_events(batch, shape));
    out.batches.push_back(std::exchange(batch, {}));
  }
  return out;
}

// Decodes and keys every block; the last key, so that nothing is left out.
std::uint64_t decode_and_key(const Traffic& traffic, const kv::BlockKeys& keys) {
  std::uint64_t all = 0;
  const auto root = keys.root("");
  auto key = root;
  for (const auto& payload : traffic.payloads) {
    const auto batch = kv::decode_events(payload);
    if (!batch) fail(batch.error().message());
    for (const auto& event : batch->events) {
      const auto& stored = std::get<kv::BlockStored>(event);
      if (!stored.parent) key = root;
      const std::span<const std::uint32_t> tokens(stored.tokens);
      for (std::size_t at = 0; at < tokens.size(); at += kBlock) {
        key = keys.next(key, tokens.subspan(at, kBlock));
      }
      all ^= key;
    }
  }
  return all;
}

std::uint64_t into_index(const Traffic& traffic, index::EventIndex& index) {
  for (const auto& payload : traffic.payloads) {
    const auto batch = kv::decode_events(payload);
    if (!batch) fail(batch.error().message());
    index.apply(0, *batch);
  }
  return index.counts().stored;
}

void check(const Traffic& traffic) {
  for (std::size_t i = 0; i < traffic.payloads.size(); ++i) {
    const auto back = kv::decode_events(traffic.payloads[i]);
    if (!back || !(*back == traffic.batches[i])) fail("a batch read is not the batch written");
  }
  index::EventIndex index({.seed = "", .slots = 1});
  if (into_index(traffic, index) != kBlocks || index.held(0) != kBlocks) {
    fail("the index does not hold what was announced");
  }
}

// Million blocks a second of each round, sorted.
template <class F>
std::vector<double> rates(F&& work) {
  std::vector<double> out;
  for (int i = 0; i < kRounds; ++i) {
    const double before = cpu_seconds();
    work();
    out.push_back(static_cast<double>(kBlocks) / (cpu_seconds() - before) / 1e6);
  }
  std::ranges::sort(out);
  return out;
}

void run(const std::string& json) {
  text::json::Array rows;
  volatile std::uint64_t sink = 0;
  fmt::print("{:<24} {:>7} {:>8} {:>22}\n", "what", "shape", "blocks", "M blocks/s (min..max)");
  for (const auto shape : {kv::EventShape::kArrays, kv::EventShape::kMaps}) {
    for (const std::size_t blocks : {std::size_t{1}, std::size_t{8}}) {
      const auto t = traffic(blocks, shape);
      check(t);
      const kv::BlockKeys fnv(kv::KeyHash::kCborFnv, ""), xxh(kv::KeyHash::kXxh64, "");
      const auto show = [&](const char* what, const std::vector<double>& r) {
        const auto* name = shape == kv::EventShape::kArrays ? "arrays" : "maps";
        fmt::print("{:<24} {:>7} {:>8} {:>8.2f} ({:.2f}..{:.2f})\n", what, name, blocks,
                   r[r.size() / 2], r.front(), r.back());
        rows.emplace_back(text::json::Object{{"what", what},
                                             {"shape", name},
                                             {"blocks_an_event", blocks},
                                             {"million_blocks_per_second", r[r.size() / 2]}});
      };
      show("decode + key cbor-fnv", rates([&] { sink = decode_and_key(t, fnv); }));
      show("decode + key xxh64", rates([&] { sink = decode_and_key(t, xxh); }));
      show("decode + key + index", rates([&] {
             index::EventIndex index({.seed = "", .slots = 1});
             sink = into_index(t, index);
           }));
    }
  }
  bench::save(text::json::Value(std::move(rows)), json);
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  std::string json;
  baton::bench::Flags("[--json FILE]").text("--json", json).read(argc, argv);
  baton::run(json);
}
