#include "routing/pick/learner.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "formats/openai/splice.hpp"

namespace baton::pick {

Learner::Learner(openai::Api api, openai::AnswerForm form, index::PrefixChain* chain)
    : answer_(api, form), chain_(chain) {
  if (chain_ == nullptr) return;
  known_ = chain_->blocks().size();
  chain_->append(openai::answer_mark(api));
}

Learner::Learned Learner::feed(std::string_view piece) { return learn(answer_.feed(piece)); }

Learner::Learned Learner::finish() { return learn(answer_.finish()); }

Learner::Learned Learner::learn(std::string_view text) {
  Learned out;
  if (chain_ != nullptr) {
    chain_->append(text);
    out.blocks = chain_->blocks().subspan(known_);
    known_ += out.blocks.size();
  }
  const auto tokens = std::max(counted_, answer_.tokens());
  out.tokens = tokens - counted_;
  counted_ = tokens;
  return out;
}

openai::AnswerForm answer_form(std::optional<std::string_view> content_type) {
  return content_type.value_or("").starts_with("text/event-stream") ? openai::AnswerForm::kEvents
                                                                    : openai::AnswerForm::kJson;
}

bool used_prefill(std::optional<std::string_view> told) {
  return !told.value_or("").starts_with("none");
}

namespace {

constexpr std::string_view kParams = "kv_transfer_params";

// nullopt: it has none.
std::optional<std::string> without_params(std::string_view arguments) {
  const auto scanned = openai::BodyIndex::scan(arguments, "extra_args");
  if (!scanned) return std::nullopt;
  std::vector<openai::Edit> edits;
  for (const auto where : {openai::Where::kTop, openai::Where::kNested}) {
    if (scanned->find(kParams, where)) edits.push_back({kParams, std::nullopt, where});
  }
  if (edits.empty()) return std::nullopt;
  return scanned->splice(edits).join();
}

}  // namespace

void remove_transfer_params(std::string& body) {
  const auto scanned = openai::BodyIndex::scan(body);
  if (!scanned) return;
  std::vector<openai::Edit> edits = {{kParams, std::nullopt}};
  for (const std::string_view key : {"sampling_params", "vllm_xargs"}) {
    const auto value = scanned->find(key);
    auto rest = value ? without_params(*value) : std::nullopt;
    if (rest) edits.push_back({key, std::move(rest)});
  }
  body = scanned->splice(edits).join();
}

}  // namespace baton::pick
