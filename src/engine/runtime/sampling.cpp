#include "engine/runtime/sampling.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/core/assert.hpp"
#include "base/core/random.hpp"
#include "engine/runtime/logit_shape.hpp"

namespace baton::runtime {
namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();  // logit of a masked token

struct Candidate {
  float logit;
  TokenId token;
};

// Likelier first; ties by lowest id.
bool before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}
bool heap_order(const Candidate& a, const Candidate& b) { return before(b, a); }

double log_sum_exp(std::span<const float> logits, float most) {
  double sum = 0;
  for (const float l : logits) sum += std::exp(static_cast<double>(l) - most);
  return static_cast<double>(most) + std::log(sum);
}

// Drops what min_p, top_k and top_p exclude, in vLLM's order (vllm-wire Appendix B): each sees the
// distribution that the one before left. Weights are exp((logit - max) / temperature).
class Filter {
 public:
  Filter(std::vector<Candidate> candidates, const SamplingParams& params)
      : pool_(std::move(candidates)), params_(params) {}

  // The kept candidates, likeliest first, with their weights.
  void run(std::vector<Candidate>& kept, std::vector<double>& weights) {
    std::ranges::make_heap(pool_, heap_order);
    most_ = pool_.front().logit;
    take_min_p_top_k(kept, weights);
    if (params_.top_p < 1) cut_top_p(kept, weights);
  }

 private:
  double weight(float logit) const {
    return std::exp((static_cast<double>(logit) - most_) / params_.temperature);
  }
  void take_min_p_top_k(std::vector<Candidate>& kept, std::vector<double>& weights) {
    const std::size_t k = params_.top_k > 0 ? static_cast<std::size_t>(params_.top_k)
                                            : std::numeric_limits<std::size_t>::max();
    // Without a bound on the count, top_p alone says when enough has been taken.
    double total = 0;
    if (k >= pool_.size() && params_.min_p <= 0)
      for (const Candidate& c : pool_) total += weight(c.logit);
    double taken = 0;
    while (!pool_.empty()) {
      const Candidate next = pool_.front();
      if (kept.size() >= k && next.logit < kept.back().logit) break;
      const double w = weight(next.logit);
      if (w < params_.min_p) break;
      if (total > 0 && taken >= params_.top_p * total && !kept.empty()) break;
      std::ranges::pop_heap(pool_, heap_order);
      pool_.pop_back();
      kept.push_back(next);
      weights.push_back(w);
      taken += w;
    }
    total_ = total > 0 ? total : taken;
  }
  // Keeps a token while the mass before it is below top_p.
  void cut_top_p(std::vector<Candidate>& kept, std::vector<double>& weights) const {
    double mass = 0;
    std::size_t keep = 0;
    while (keep < kept.size() && (keep == 0 || mass < params_.top_p * total_))
      mass += weights[keep++];
    kept.resize(keep);
    weights.resize(keep);
  }

  std::vector<Candidate> pool_;
  const SamplingParams& params_;
  float most_ = 0;
  double total_ = 0;
};

TokenId pick(std::vector<Candidate> candidates, const SamplingParams& params, double unit) {
  std::vector<Candidate> kept;
  std::vector<double> weights;
  if (params.top_k <= 0 && params.top_p >= 1 && params.min_p <= 0) {
    kept = std::move(candidates);
    const float most = std::ranges::min_element(kept, before)->logit;
    weights.reserve(kept.size());
    for (const Candidate& c : kept)
      weights.push_back(std::exp((static_cast<double>(c.logit) - most) / params.temperature));
  } else {
    Filter(std::move(candidates), params).run(kept, weights);
  }
  double total = 0;
  for (const double w : weights) total += w;
  double mark = unit * total;
  std::size_t last = 0;  // the last one with weight: rounding may leave mark at 0 or above
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = i;
    mark -= weights[i];
    if (mark < 0) break;
  }
  return kept[last].token;
}

// One draw per (seed, position), independent of every other.
double unit_at(const Draw& draw) {
  SeededRandom key(draw.seed);
  SeededRandom stream(key.next() ^ (draw.tokens.size() * 0x9e37'79b9'7f4a'7c15));
  return stream.unit();
}

std::optional<TokenId> likeliest(std::span<const float> row, auto allowed) {
  std::optional<Candidate> best;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Candidate c{row[i], static_cast<TokenId>(i)};
    if ((!best || before(c, *best)) && allowed(c.token)) best = c;
  }
  return best ? std::optional(best->token) : std::nullopt;
}

std::optional<TokenId> drawn(std::span<const float> row, auto allowed, const SamplingParams& params,
                             double unit) {
  std::vector<Candidate> candidates;
  candidates.reserve(row.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Candidate c{row[i], static_cast<TokenId>(i)};
    if (allowed(c.token)) candidates.push_back(c);
  }
  if (candidates.empty()) return std::nullopt;
  return pick(std::move(candidates), params, unit);
}

Error out_of_range(std::string_view name, std::string_view range, auto value) {
  return invalid(fmt::format("{} must be {}, got {}", name, range, value));
}

// Every token id that the request names is one.
Status validate_tokens(const SamplingParams& p, std::size_t vocab) {
  const auto check = [&](std::string_view name, TokenId token) -> Status {
    if (token < vocab) return {};
    return invalid(
        fmt::format("{}: token id {} is out of the vocabulary of {}", name, token, vocab));
  };
  if (p.logit_bias.size() > kMaxBiases)
    return invalid(
        fmt::format("logit_bias: {} entries, at most {} allowed", p.logit_bias.size(), kMaxBiases));
  for (const auto& [token, bias] : p.logit_bias) {
    BATON_TRY(check("logit_bias", token));
    if (!std::isfinite(bias)) return out_of_range("logit_bias", "finite", bias);
  }
  for (const TokenId token : p.allowed) {
    BATON_TRY(check("allowed_token_ids", token));
  }
  if (p.bad_words.size() > kMaxBadWords)
    return invalid(
        fmt::format("bad_words: {} words, at most {} allowed", p.bad_words.size(), kMaxBadWords));
  for (const auto& word : p.bad_words) {
    if (word.empty()) return invalid("bad_words: a word has no tokens");
    for (const TokenId token : word) {
      BATON_TRY(check("bad_words", token));
    }
  }
  return {};
}

}  // namespace

TokenLogprob logprob_of(std::span<const float> logits, TokenId token, std::size_t alternatives) {
  const double norm = log_sum_exp(logits, *std::ranges::max_element(logits));
  const auto of = [&](TokenId t) { return static_cast<float>(logits[t] - norm); };
  TokenLogprob out{.logprob = of(token), .rank = 1, .top = {}};
  for (const float l : logits) out.rank += l > logits[token] ? 1 : 0;
  if (alternatives == 0) return out;

  std::vector<TokenId> order(logits.size());
  for (std::size_t t = 0; t < order.size(); ++t) order[t] = static_cast<TokenId>(t);
  const auto middle =
      order.begin() + static_cast<std::ptrdiff_t>(std::min(alternatives, order.size()));
  std::partial_sort(order.begin(), middle, order.end(),
                    [&](TokenId a, TokenId b) { return before({logits[a], a}, {logits[b], b}); });
  for (auto it = order.begin(); it != middle; ++it) out.top.emplace_back(*it, of(*it));
  return out;
}

Status validate(const SamplingParams& p, std::size_t vocab) {
  // Written so that NaN fails.
  if (!(p.temperature >= 0) || std::isinf(p.temperature))
    return out_of_range("temperature", "at least 0", p.temperature);
  if (!(p.top_p > 0 && p.top_p <= 1)) return out_of_range("top_p", "in (0, 1]", p.top_p);
  if (p.top_k < -1) return out_of_range("top_k", "-1, 0 or positive", p.top_k);
  if (!(p.min_p >= 0 && p.min_p <= 1)) return out_of_range("min_p", "in [0, 1]", p.min_p);
  if (!(std::fabs(p.presence_penalty) <= 2))
    return out_of_range("presence_penalty", "in [-2, 2]", p.presence_penalty);
  if (!(std::fabs(p.frequency_penalty) <= 2))
    return out_of_range("frequency_penalty", "in [-2, 2]", p.frequency_penalty);
  if (!(p.repetition_penalty > 0) || std::isinf(p.repetition_penalty))
    return out_of_range("repetition_penalty", "above 0", p.repetition_penalty);
  if (p.max_tokens < 1) return out_of_range("max_tokens", "at least 1", p.max_tokens);
  if (p.min_tokens > p.max_tokens)
    return out_of_range("min_tokens", fmt::format("at most max_tokens={}", p.max_tokens),
                        p.min_tokens);
  if (p.logprobs && *p.logprobs > vocab)
    return out_of_range("logprobs", fmt::format("at most {}", vocab), *p.logprobs);
  if (p.prompt_logprobs && *p.prompt_logprobs > vocab)
    return out_of_range("prompt_logprobs", fmt::format("at most {}", vocab), *p.prompt_logprobs);
  return validate_tokens(p, vocab);
}

Sample sample(const Draw& draw, const SamplingParams& params) {
  BATON_ASSERT(!draw.logits.empty());
  const auto shaped = shapes(params) ? shape(draw, params) : std::vector<float>();
  const std::span<const float> row = shaped.empty() ? draw.logits : shaped;
  const auto allowed = [&](TokenId token) {
    return row[token] > kMasked &&
           (draw.banned.empty() || std::ranges::find(draw.banned, token) == draw.banned.end());
  };
  std::optional<TokenId> token = params.temperature < kGreedyBelow
                                     ? likeliest(row, allowed)
                                     : drawn(row, allowed, params, unit_at(draw));
  if (!token) token = likeliest(draw.logits, [](TokenId) { return true; });
  Sample out{*token, {}};
  if (params.logprobs) out.logprob = logprob_of(draw.logits, out.token, *params.logprobs);
  return out;
}

}  // namespace baton::runtime
