#include "routing/pick/precise_prefix.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/core/log.hpp"

namespace baton::pick {
namespace {

const std::vector<double> kSeconds = {.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .5};
const std::vector<double> kTokens = {0, 16, 64, 256, 1024, 4096, 16384, 65536, 262144};

index::EventIndex::Config index_config(const schedule::PreciseParameters& p) {
  index::EventIndex::Config out;
  out.hash = p.xxh64 ? kv::KeyHash::kXxh64 : kv::KeyHash::kCborFnv;
  out.seed = p.hash_seed;
  out.block_tokens = p.block_tokens;
  out.tiers.clear();
  for (const auto& tier : p.tiers) out.tiers.push_back({tier.name, tier.weight});
  out.slots = schedule::kMaxEndpoints;
  return out;
}

Result<zmtp::Fd> listen(const std::string& endpoint) {
  BATON_TRY_ASSIGN(auto address, zmtp::parse_address(endpoint));
  BATON_TRY_ASSIGN(auto listener, zmtp::listen_at(address.at));
  log::info("engines may connect with their KV events", {{"at", http::to_string(address.at)}});
  return listener;
}

}  // namespace

struct PrecisePrefix::Meters {
  explicit Meters(observe::Registry& registry)
      : tokenized(registry.histogram("baton_epp_prompt_tokenize_seconds",
                                     "from a request's body to the keys of its blocks", kSeconds)),
        by_bytes(registry.counter("baton_epp_untokenized_prompts_total",
                                  "prompts compared by their bytes, not by tokens")),
        remembered(registry.counter("baton_epp_tokenize_remembered_bytes_total",
                                    "prompt bytes whose tokens were remembered")),
        made(registry.counter("baton_epp_tokenize_new_bytes_total",
                              "prompt bytes whose tokens had to be made")),
        over(error(registry, "over")),
        under(error(registry, "under")),
        predictions(registry.counter("baton_epp_prefix_predictions_total",
                                     "predictions compared with what an engine reported")),
        exact(registry.counter("baton_epp_prefix_predictions_exact_total",
                               "of those, right to the token")) {}

  static observe::Histogram& error(observe::Registry& registry, std::string_view which) {
    return registry.histogram("baton_epp_prefix_prediction_error_tokens",
                              "cached prompt tokens: predicted against reported", kTokens,
                              {{"direction", std::string(which)}});
  }
  observe::Histogram& tokenized;
  observe::Counter &by_bytes, &remembered, &made;
  observe::Histogram &over, &under;
  observe::Counter &predictions, &exact;
};

PrecisePrefix::PrecisePrefix(const schedule::PreciseParameters& p, Deps deps,
                             std::unique_ptr<PromptTokens> tokens, zmtp::Fd listener)
    : deps_(deps),
      tokens_(std::move(tokens)),
      meters_(std::make_unique<Meters>(deps.registry)),
      lookups_(p.metrics ? std::make_unique<watch::KvLookupMetrics>(deps.registry) : nullptr),
      index_(index_config(p)),
      follower_({.topic = p.topic,
                 .connects = p.connects,
                 .port = p.port,
                 .replay_port = p.replay_port,
                 .speculative = p.speculative,
                 .metrics = p.metrics},
                {index_, deps.clock, deps.registry}, std::move(listener)) {}

PrecisePrefix::~PrecisePrefix() = default;

Result<std::unique_ptr<PrecisePrefix>> PrecisePrefix::open(const schedule::PreciseParameters& p,
                                                           Deps deps) {
  std::unique_ptr<PromptTokens> tokens;
  if (!p.tokenizer.empty()) {
    BATON_TRY_ASSIGN(tokens, PromptTokens::load(p.tokenizer).with("tokenizer of the picker"));
  }
  zmtp::Fd listener;
  if (!p.listen.empty()) {
    auto made = listen(p.listen);
    if (!made) return std::move(made).error().with("zmqEndpoint");
    listener = *std::move(made);
  }
  return std::unique_ptr<PrecisePrefix>(
      new PrecisePrefix(p, deps, std::move(tokens), std::move(listener)));
}

Result<std::vector<token::TokenId>> PrecisePrefix::tokens_of(const TextPrompt& prompt) {
  if (tokens_ == nullptr) return unsupported("there is no tokenizer");
  const std::time_t wall = std::chrono::system_clock::to_time_t(deps_.clock.wall());
  std::tm now{};
  ::localtime_r(&wall, &now);
  return tokens_->read(prompt.api, prompt.body, now);
}

std::optional<KeyedPrompt> PrecisePrefix::read(const TextPrompt& prompt) {
  const auto started = deps_.clock.now();
  std::vector<token::TokenId> made;
  if (prompt.ids.empty()) {
    auto tokens = tokens_of(prompt);
    if (!tokens) {
      meters_->by_bytes.add();
      log::debug("a prompt is compared by its bytes", {{"why", tokens.error().message()}});
      return std::nullopt;
    }
    made = *std::move(tokens);
    const auto pieces = tokens_->take_counts();
    meters_->remembered.add(static_cast<double>(pieces.remembered_bytes));
    meters_->made.add(static_cast<double>(pieces.new_bytes));
  }
  const auto tokens = prompt.ids.empty() ? std::span<const token::TokenId>(made) : prompt.ids;
  KeyedPrompt out{.keys = index_.keys_of(prompt.model, tokens, prompt.salt),
                  .tokens = tokens.size()};
  meters_->tokenized.observe(baton::seconds(deps_.clock.now() - started));
  return out;
}

void PrecisePrefix::match(const KeyedPrompt& prompt, std::span<std::uint32_t> held,
                          std::span<std::uint32_t> weighted) const {
  if (lookups_ == nullptr) return index_.match(prompt.keys, held, weighted);
  const auto started = deps_.clock.now();
  index_.match(prompt.keys, held, weighted);
  lookups_->looked_up(deps_.clock.now() - started, *std::ranges::max_element(held));
}

void PrecisePrefix::reported(std::uint64_t predicted, std::optional<std::uint64_t> reported) {
  if (reported) engines_report_ = true;
  if (!engines_report_) return;
  const auto cached = reported.value_or(0);
  meters_->predictions.add();
  if (predicted == cached) return meters_->exact.add();
  auto& histogram = predicted > cached ? meters_->over : meters_->under;
  histogram.observe(
      static_cast<double>(predicted > cached ? predicted - cached : cached - predicted));
}

}  // namespace baton::pick
