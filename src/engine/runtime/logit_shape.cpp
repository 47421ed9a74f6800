#include "engine/runtime/logit_shape.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace baton::runtime {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

std::vector<float> only(std::span<const float> logits, const std::vector<TokenId>& allowed) {
  std::vector<float> out(logits.size(), kNever);
  for (const TokenId token : allowed) out[token] = logits[token];
  return out;
}

// A word of several tokens is avoided at its last one.
void avoid(const std::vector<std::vector<TokenId>>& words, std::span<const TokenId> answer,
           std::vector<float>& row) {
  for (const auto& word : words) {
    const std::size_t before = word.size() - 1;
    if (before > answer.size()) continue;
    if (std::ranges::equal(answer.last(before), std::span(word).first(before))) {
      row[word.back()] = kNever;
    }
  }
}

// Each token once, with how often it is in the answer.
void penalise(const Draw& draw, const SamplingParams& params, std::vector<float>& row) {
  std::vector<std::uint32_t> drawn(row.size());
  std::vector<bool> open(row.size());
  for (std::size_t i = 0; i < draw.tokens.size(); ++i) {
    open[draw.tokens[i]] = true;
    if (i >= draw.prompt) ++drawn[draw.tokens[i]];
  }
  const auto repetition = static_cast<float>(params.repetition_penalty);
  const auto frequency = static_cast<float>(params.frequency_penalty);
  const auto presence = static_cast<float>(params.presence_penalty);
  for (const TokenId token : draw.tokens) {
    if (!open[token]) continue;
    open[token] = false;
    float& logit = row[token];
    logit = logit > 0 ? logit / repetition : logit * repetition;
    logit -= frequency * static_cast<float>(drawn[token]);
    if (drawn[token] > 0) logit -= presence;
  }
}

bool has_penalties(const SamplingParams& p) {
  return p.repetition_penalty != 1 || p.frequency_penalty != 0 || p.presence_penalty != 0;
}

}  // namespace

bool shapes(const SamplingParams& p) {
  return has_penalties(p) || !p.logit_bias.empty() || !p.allowed.empty() || !p.bad_words.empty();
}

std::vector<float> shape(const Draw& draw, const SamplingParams& params) {
  auto row = params.allowed.empty() ? std::vector<float>(draw.logits.begin(), draw.logits.end())
                                    : only(draw.logits, params.allowed);
  avoid(params.bad_words, draw.tokens.subspan(draw.prompt), row);
  for (const auto& [token, bias] : params.logit_bias) row[token] += bias;
  if (has_penalties(params)) penalise(draw, params, row);
  return row;
}

}  // namespace baton::runtime
