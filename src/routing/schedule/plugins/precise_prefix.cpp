// What engines tell of their KV caches, as the match that scorers read (picker reference 4.7).

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::size_t kMaxTiers = 6;  // as many as an index keeps apart

void read_tokens(Fields& fields, PreciseParameters& out) {
  auto tokens = fields.integer("blockSizeTokens", 16, INT32_MIN, INT32_MAX);
  const auto alias = fields.integer("blockSize", 0, INT32_MIN, INT32_MAX);
  if (!fields.has("blockSizeTokens") && alias != 0) tokens = alias;
  if (tokens < 1 || tokens > 4096) fields.fail("blockSizeTokens", "it must be 1 to 4096");
  out.block_tokens = static_cast<std::size_t>(std::clamp<std::int64_t>(tokens, 1, 4096));
  out.hash_seed = fields.text("hashSeed", "");
  constexpr std::array<std::string_view, 2> kHashes = {"cbor-fnv", "xxh64"};
  out.xxh64 = fields.choice("hashAlgorithm", kHashes[0], kHashes) == kHashes[1];
}

void read_tiers(Fields& indexer, PreciseParameters& out) {
  if (!indexer.has("kvCacheBackendConfigs")) return;
  const auto& items = indexer.array("kvCacheBackendConfigs");
  const auto at = text::json::pointer(indexer.pointer(), "kvCacheBackendConfigs");
  out.tiers.clear();
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields fields(items[i], text::json::pointer(at, i), indexer.settings());
    PreciseParameters::Tier tier{.name = fields.text("name", ""),
                                 .weight = fields.number("weight", 1, 0, 1)};
    std::ranges::transform(tier.name, tier.name.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (tier.name.empty()) fields.fail("name", "a tier needs a name");
    indexer.take_error(fields);
    out.tiers.push_back(std::move(tier));
  }
  if (out.tiers.size() > kMaxTiers) {
    indexer.fail("kvCacheBackendConfigs", fmt::format("more than {} tiers", kMaxTiers));
  }
}

void read_store(Fields& indexer, PreciseParameters& out) {
  constexpr std::string_view kOwn = "the index holds what the engines tell, whatever is set here";
  auto store = indexer.object("kvBlockIndexConfig");
  for (const std::string_view key :
       {"inMemoryConfig", "costAwareMemoryConfig", "metricsLoggingInterval"}) {
    store.unused(key, kOwn);
  }
  out.metrics = store.boolean("enableMetrics", false);
  store.later("redisConfig",
              "an index outside the process is not offered; every picker follows the engines");
  store.later("valkeyConfig",
              "an index outside the process is not offered; every picker follows the engines");
  indexer.take_error(store);
}

// {modelName, …} of the October 2025 generation: tokens are made in the process, from a model's
// folder.
std::string read_tokenizer(Fields& fields) {
  auto pool = fields.object("tokenizersPoolConfig");
  const auto name = pool.text("modelName", "");
  constexpr std::string_view kInProcess =
      "tokens are made in this process, from the folder that modelName names";
  for (const std::string_view key :
       {"workersCount", "minPrefixOverlapRatio", "hf", "local", "uds", "huggingFaceToken"}) {
    pool.unused(key, kInProcess);
  }
  fields.take_error(pool);
  return name.starts_with('/') ? name : "";
}

void read_indexer(Fields& parameters, PreciseParameters& out, bool with_tokenizer) {
  auto indexer = parameters.object("indexerConfig");
  if (indexer.has("tokenProcessorConfig")) {
    auto tokens = indexer.object("tokenProcessorConfig");
    read_tokens(tokens, out);
    indexer.take_error(tokens);
  }
  read_tiers(indexer, out);
  read_store(indexer, out);
  indexer.unused("prefixStoreConfig", "what was tokenized is remembered by pieces of text");
  if (with_tokenizer) {
    out.tokenizer = read_tokenizer(indexer);
  } else {
    indexer.later("tokenizersPoolConfig", "it belongs to token-producer: give its modelName there");
  }
  parameters.take_error(indexer);
}

void read_events(Fields& parameters, PreciseParameters& out) {
  auto events = parameters.object("kvEventsConfig");
  out.listen = events.text("zmqEndpoint", "");
  if (!out.listen.empty() && !out.listen.starts_with("tcp://")) {
    events.fail("zmqEndpoint", "expected tcp://ADDRESS:PORT, where engines connect to this picker");
  }
  out.topic = events.text("topicFilter", "kv@");
  events.unused("concurrency", "one thread follows all engines");
  constexpr std::array<std::string_view, 2> kEngines = {"vllm", "sglang"};
  events.choice("engineType", kEngines[0], kEngines);
  out.connects = events.boolean("discoverPods", true);
  if (!out.connects && out.listen.empty()) {
    events.fail("discoverPods",
                "without it, and without zmqEndpoint, there is no engine to follow");
  }
  auto pods = events.object("podDiscoveryConfig");
  for (const std::string_view key : {"podLabelSelector", "podNamespace"}) {
    pods.unused(key, "the endpoints of the pool are followed");
  }
  out.port = static_cast<std::uint16_t>(pods.integer("socketPort", 5557, 1, 65535));
  out.replay_port = static_cast<std::uint16_t>(pods.integer("replaySocketPort", 0, 0, 65535));
  events.take_error(pods);
  parameters.take_error(events);
}

Plugin make_producer(Fields& parameters, bool legacy) {
  PreciseParameters precise;
  auto tokens = parameters.object("tokenProcessorConfig");
  read_tokens(tokens, precise);
  parameters.take_error(tokens);
  read_indexer(parameters, precise, legacy);
  read_events(parameters, precise);
  const bool speculative = parameters.boolean("speculativeIndexing", false);
  const auto ttl = parameters.duration("speculativeTTL", std::chrono::seconds(2));
  if (speculative) precise.speculative = ttl;
  Plugin plugin;
  plugin.prefix = PrefixParameters{};  // for engines that are not in sync
  plugin.any_blocks = true;
  plugin.service = std::move(precise);
  return plugin;
}

}  // namespace

Plugin make_precise_prefix_cache_producer(Fields& parameters) {
  auto plugin = make_producer(parameters, false);
  plugin.produces = Data::kPrefixMatch;
  plugin.needs.push_back({.data = Data::kTokens, .producer = "", .pointer = ""});
  return plugin;
}

Plugin make_precise_prefix_cache_scorer(Fields& parameters) {
  auto plugin = make_producer(parameters, true);
  plugin.scorer = make_match_scorer();
  return plugin;
}

}  // namespace baton::schedule
