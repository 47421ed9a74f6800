#include "routing/pick/learner.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>
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
using Keys = std::span<const std::string_view>;
// Where vLLM reads them besides: in these members of a body, and in that one of those.
constexpr std::array<std::string_view, 2> kArguments = {"sampling_params", "vllm_xargs"};
constexpr std::array<std::string_view, 1> kExtra = {"extra_args"};

// The text of an object without them. The objects that its members `inner` are lose them too, and
// those that `within` are in these.
Result<std::string> without_params(std::string_view object, Keys inner, Keys within) {
  BATON_TRY_ASSIGN(const auto scanned, openai::BodyIndex::scan(object));
  std::vector<openai::Edit> edits = {{kParams, std::nullopt}};
  for (const auto key : inner) {
    const auto value = scanned.find(key);
    if (!value) continue;
    std::string rest(*value);
    if (value->starts_with('{')) {
      BATON_TRY_ASSIGN(rest, without_params(*value, within, {}));
    }
    edits.push_back({key, std::move(rest)});
  }
  return scanned.splice(edits).join();
}

}  // namespace

Status remove_transfer_params(std::string& body) {
  auto rest = without_params(body, kArguments, kExtra);
  if (!rest) {
    return std::move(rest).error().with("kv_transfer_params cannot be taken out of the body");
  }
  body = *std::move(rest);
  return {};
}

}  // namespace baton::pick
