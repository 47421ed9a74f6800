// Producers of data that scorers and deciders read (picker reference 4.5, 4.6).

#include <algorithm>
#include <cmath>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

// Below, hashes cost more memory than they save (the reference has the same floor).
constexpr std::int64_t kLeastBlockTokens = 64;
constexpr std::int64_t kBytesPerToken = 4;  // of the estimate

}  // namespace

Plugin make_approx_prefix_cache_producer(Fields& parameters) {
  constexpr std::int64_t kMost = std::int64_t{1} << 30;
  const bool tuned = parameters.boolean("autoTune", true);
  auto tokens = parameters.integer("blockSizeTokens", 16, INT32_MIN, INT32_MAX);
  const auto alias = parameters.integer("blockSize", 0, INT32_MIN, INT32_MAX);
  if (tokens == 16 && alias != 0) tokens = alias;
  if (tokens <= 0 && !tuned) parameters.fail("blockSizeTokens", "it must be above 0");
  tokens = std::clamp(tokens, kLeastBlockTokens, kMaxHashBlockBytes / kBytesPerToken);
  const auto cap = parameters.integer("maxPrefixTokensToMatch", 131072, 0, kMost);
  const auto blocks = parameters.integer("maxPrefixBlocksToMatch", 2048, 0, kMost);
  const auto lru = parameters.integer("lruCapacityPerServer", 31250, 1, 1 << 24);
  PrefixParameters prefix;
  prefix.block_bytes = static_cast<std::size_t>(tokens * kBytesPerToken);
  prefix.lru_capacity = static_cast<std::size_t>(lru);
  prefix.engine_capacity = tuned && !parameters.has("lruCapacityPerServer");
  const auto limit = cap > 0 ? cap / tokens : blocks;
  const bool unlimited = cap == 0 && blocks == 0;
  prefix.max_blocks = static_cast<std::size_t>(unlimited ? kMost : limit);
  Plugin plugin;
  plugin.produces = Data::kPrefixMatch;
  plugin.prefix = prefix;
  plugin.needs.push_back({.data = Data::kTokens, .producer = "", .pointer = ""});
  return plugin;
}

// Tokens by a server that renders prompts.
RenderServer render_server(Fields& parameters, const std::string& model) {
  for (const std::string_view other : {"estimate", "udsTokenizerConfig"}) {
    if (parameters.has(other)) {
      parameters.fail(other, "tokens are made in one way: remove this or vllm");
    }
  }
  if (model.empty()) parameters.fail("modelName", "vllm needs it: the server's name of the model");
  auto vllm = parameters.object("vllm");
  RenderServer out{.url = vllm.text("url", "http://localhost:8000"),
                   .model = model,
                   .timeout = vllm.duration("timeout", std::chrono::seconds(5))};
  if (!out.url.starts_with("http://")) vllm.fail("url", "expected http://HOST[:PORT]");
  if (out.timeout == Nanos(0)) vllm.fail("timeout", "it must be above 0");
  vllm.unused("mmTimeout", "prompts with more than text are compared by their bytes");
  parameters.take_error(vllm);
  return out;
}

// Prompt lengths: exact where tokens are made of them (precise prefixes) or where a request carries
// token ids, else a quarter of its bytes.
Plugin make_token_producer(Fields& parameters) {
  // A folder: tokens are made in the process.
  const auto name = parameters.text("modelName", "");
  const bool local = name.starts_with('/');
  if (!local && parameters.has("vllm")) {
    Plugin plugin;
    plugin.service = render_server(parameters, name);
    plugin.produces = Data::kTokens;
    return plugin;
  }
  auto estimate = parameters.object("estimate");
  parameters.take_error(estimate);
  for (const std::string_view key : {"vllm", "udsTokenizerConfig"}) {
    parameters.unused(key, local
                               ? "tokens are made in this process, from the folder that modelName "
                                 "names"
                               : "without a folder in modelName, or vllm, prompts are compared "
                                 "by their bytes");
  }
  Plugin plugin;
  if (local) plugin.service = LocalTokenizer{name};
  plugin.produces = Data::kTokens;
  return plugin;
}

std::int64_t expected_output(const OutputEstimate& estimate, std::size_t prompt_tokens,
                             std::optional<std::int64_t> cap) {
  constexpr double kMost = 1e12;
  const double raw = static_cast<double>(prompt_tokens) * estimate.ratio;
  auto out = static_cast<std::int64_t>(std::min(std::round(raw), kMost));
  for (const auto& limit : {cap, estimate.most}) {
    if (limit && *limit >= 0) out = std::min(out, *limit);
  }
  return out;
}

Plugin make_inflight_load_producer(Fields& parameters) {
  constexpr double kMostRatio = 1e6;
  Plugin plugin;
  plugin.produces = Data::kInFlight;
  if (parameters.boolean("addEstimatedOutputTokens", false)) {
    OutputEstimate estimate;
    estimate.ratio = parameters.number("outputRatio", estimate.ratio, 0, kMostRatio);
    if (parameters.has("maxEstimatedOutputTokens")) {
      estimate.most = parameters.integer("maxEstimatedOutputTokens", 0, 0, INT64_MAX);
    }
    plugin.service = estimate;
  } else {
    for (const std::string_view key : {"outputRatio", "maxEstimatedOutputTokens"}) {
      parameters.unused(key, "addEstimatedOutputTokens is not set: prompts alone are counted");
    }
  }
  parameters.unused("syncCrossReplicaState", "replicas do not share their counts");
  if (parameters.has("prefixMatchInfoProducerName")) {
    plugin.needs.push_back({.data = Data::kPrefixMatch,
                            .producer = parameters.text("prefixMatchInfoProducerName", ""),
                            .pointer = parameters.pointer() + "/prefixMatchInfoProducerName"});
  }
  return plugin;
}

}  // namespace baton::schedule
