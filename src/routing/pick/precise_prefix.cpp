#include "routing/pick/precise_prefix.hpp"

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
                             std::unique_ptr<PromptTokens> tokens)
    : deps_(deps),
      tokens_(std::move(tokens)),
      meters_(std::make_unique<Meters>(deps.registry)),
      index_(index_config(p)),
      follower_({.topic = p.topic,
                 .port = p.port,
                 .replay_port = p.replay_port,
                 .speculative = p.speculative},
                {index_, deps.clock, deps.registry}) {}

PrecisePrefix::~PrecisePrefix() = default;

Result<std::unique_ptr<PrecisePrefix>> PrecisePrefix::open(const schedule::PreciseParameters& p,
                                                           Deps deps) {
  std::unique_ptr<PromptTokens> tokens;
  if (!p.tokenizer.empty()) {
    BATON_TRY_ASSIGN(tokens, PromptTokens::load(p.tokenizer).with("tokenizer of the picker"));
  }
  return std::unique_ptr<PrecisePrefix>(new PrecisePrefix(p, deps, std::move(tokens)));
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
