#include "engine/serve/choice.hpp"

#include <fmt/format.h>

#include <utility>

namespace baton::serve {

Choice::Choice(const Surroundings& around, const Setup& setup, std::string engine_id)
    : around_(around),
      setup_(setup),
      ticket_(around.room, std::move(engine_id), setup.arrived),
      text_(*around.model.tokenizer, setup.sampling) {}

Choice::~Choice() { count(); }

Status Choice::submit(runtime::GenerateRequest request) {
  request.progress = progress_;
  auto submitted = ticket_.submit(std::move(request));
  was_submitted_ = true;
  if (!submitted) {
    reason_ = "error";
    error_ = submitted.error();
  }
  return submitted;
}

bool Choice::take() {
  bool any = false;
  while (!is_over()) {
    const auto letter = ticket_.take();
    if (!letter) break;
    take(*letter);
    any = true;
  }
  return any;
}

void Choice::take(const Letter& letter) {
  const runtime::Event& event = letter.event;
  const Mono now = letter.when;
  if (event.announced) {
    announcement_ = event;
    return;
  }
  if (event.prompt) {
    take_prompt(event);
    first_token_ = now;
    around_.probe.first_token(now - setup_.asked, *report_);
  } else if (!event.tokens.empty() && report_) {
    around_.probe.next_tokens(now - last_token_);
  }
  last_token_ = now;
  if (event.transfer) transfer_ = event.transfer;
  take_tokens(event);
  if (ending_) return;  // a stop string
  if (!event.finish) return;
  text_.finish();
  reason_ = runtime::name(*event.finish);
  if (*event.finish == runtime::Finish::kStop || *event.finish == runtime::Finish::kLength) {
    ending_ = openai::Ending{reason_, {}};
    if (event.stop_token) ending_->stop_reason = *event.stop_token;
  } else {
    error_ = event.error ? *event.error : unavailable("the request was ended by the engine");
  }
}

void Choice::take_prompt(const runtime::Event& event) {
  report_ = event.prompt;
  const auto& prompt = setup_.prompt;
  if (event.prompt_logprobs.size() + 1 != prompt.size()) return;  // not asked for
  prompt_scores_.push_back({.chosen = likely(prompt.front(), 0, 0), .top = {}, .is_known = false});
  for (std::size_t i = 1; i < prompt.size(); ++i)
    prompt_scores_.push_back(described(prompt[i], event.prompt_logprobs[i - 1]));
}

void Choice::take_tokens(const runtime::Event& event) {
  if (setup_.sampling.max_tokens == 0) return;  // the prompt is all that is wanted
  const bool stopped = event.finish == runtime::Finish::kStop;
  for (std::size_t i = 0; i < event.tokens.size(); ++i) {
    if (i < event.logprobs.size())
      logprobs_.push_back(described(event.tokens[i], event.logprobs[i]));
    if (setup_.sampling.return_ids) ids_.push_back(event.tokens[i]);
    // The token that stops is counted, but is no text.
    const bool silent = stopped && i + 1 == event.tokens.size() && !setup_.sampling.include_stop;
    if (silent) {
      text_.count_silently();
    } else if (text_.push(event.tokens[i])) {
      ending_ = openai::Ending{"stop", *text_.matched()};
      reason_ = "stop";
      ticket_.drop();
      return;
    }
  }
}

openai::Likely Choice::likely(token::TokenId id, float logprob, std::size_t rank) const {
  const token::Tokenizer& tokenizer = *around_.model.tokenizer;
  openai::Likely out{"", std::string(tokenizer.bytes(id)), logprob, id, rank};
  out.token = setup_.sampling.tokens_as_ids ? fmt::format("token_id:{}", id)
                                            : tokenizer.decode({&id, 1}, token::SkipSpecial::kNo);
  return out;
}

openai::TokenLikely Choice::described(token::TokenId id, const runtime::TokenLogprob& l) const {
  openai::TokenLikely out{.chosen = likely(id, l.logprob, l.rank), .top = {}};
  for (const auto& [other, logprob] : l.top)
    out.top.push_back(likely(other, logprob, out.top.size() + 1));
  return out;
}

void Choice::write_piece(openai::AnswerWriter& writer, std::string& out,
                         const openai::Usage* usage) {
  const std::string_view fresh = text_.take();
  const bool is_first = !wrote_;
  const bool echoes = is_first && has_begun() && !setup_.echo.empty();
  const bool has_news = !fresh.empty() || !ids_.empty() || !logprobs_.empty() || echoes;
  if (!has_news && (!ending_ || told_ending_)) return;
  wrote_ = true;
  told_ending_ = ending_.has_value();
  const std::string text = std::string(echoes ? setup_.echo : "").append(fresh);
  if (echoes) logprobs_.insert(logprobs_.begin(), prompt_scores_.begin(), prompt_scores_.end());
  openai::Piece piece{.index = setup_.index, .text = text, .usage = usage, .text_offset = offset_};
  if (setup_.sampling.logprobs) piece.logprobs = logprobs_;
  if (ending_) piece.ending = &*ending_;
  if (setup_.sampling.return_ids) piece.ids = ids_;
  if (setup_.sampling.return_ids && is_first) piece.prompt_ids = setup_.prompt;
  writer.piece(out, piece);
  offset_ += text.size();
  logprobs_.clear();
  ids_.clear();
}

openai::Choice Choice::whole() const {
  openai::Choice out{.text = std::string(setup_.echo) + text_.text(), .ending = *ending_};
  if (setup_.sampling.logprobs) {
    out.logprobs.emplace();
    if (!setup_.echo.empty()) out.logprobs = prompt_scores_;
    out.logprobs->insert(out.logprobs->end(), logprobs_.begin(), logprobs_.end());
  }
  if (setup_.sampling.return_ids) {
    out.ids = ids_;
    out.prompt_ids = setup_.prompt;
  }
  if (setup_.sampling.prompt_logprobs) out.prompt_logprobs = prompt_scores_;
  return out;
}

void Choice::count() const {
  if (!was_submitted_) return;
  Probe::Finished f;
  f.reason = reason_;
  f.prompt = report_ ? report_->prompt : 0;
  f.generated = text_.tokens();
  f.max_tokens = setup_.sampling.max_tokens.value_or(0);
  f.n = static_cast<std::size_t>(setup_.sampling.n);
  if (report_) {
    f.total = last_token_ - setup_.asked;
    f.decode = last_token_ - first_token_;
    f.inference = f.decode + report_->transfer + report_->compute;
  }
  around_.probe.finished(f);
}

}  // namespace baton::serve
