#include "routing/pick/learner.hpp"

#include <algorithm>
#include <array>

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

void remove_transfer_params(std::string& body) {
  const auto scanned = openai::BodyIndex::scan(body);
  if (!scanned) return;
  const std::array<openai::Edit, 1> edits = {
      openai::Edit{.key = "kv_transfer_params", .value = {}}};
  body = scanned->splice(edits).join();
}

}  // namespace baton::pick
