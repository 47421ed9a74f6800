#include "engine/serve/generation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "formats/kv/transfer_params.hpp"
#include "net/http/trace_headers.hpp"

namespace baton::serve {
namespace {

constexpr std::size_t kMaxHeaderText = 200;

// Header values hold no control characters.
std::string one_line(std::string_view text) {
  std::string out(text.substr(0, kMaxHeaderText));
  std::ranges::replace_if(
      out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
  return out;
}

}  // namespace

void add_proof(http::Headers& headers, const runtime::PromptReport& r, Nanos first_token) {
  const auto number = [&](std::string_view name, std::uint64_t value) {
    headers.set(name, fmt::format("{}", value));
  };
  number("x-baton-prompt-tokens", r.prompt);
  number("x-baton-remote-tokens", r.remote);
  number("x-baton-cached-tokens", r.cached);
  number("x-baton-computed-tokens", r.computed);
  number("x-baton-kv-bytes", r.kv_bytes);
  if (!r.transfer_error.empty()) headers.set("x-baton-transfer-error", one_line(r.transfer_error));
  auto timing = fmt::format("queue;dur={:.3f}, ", millis(r.queue));
  if (r.transfer > Nanos(0)) timing += fmt::format("transfer;dur={:.3f}, ", millis(r.transfer));
  timing += fmt::format("compute;dur={:.3f}, first-token;dur={:.3f}", millis(r.compute),
                        millis(first_token));
  headers.set("server-timing", timing);
}

Generation::Generation(const Surroundings& around, http::Exchange& exchange, Prepared prepared,
                       openai::AnswerHead head, std::string engine_id, http::Headers headers)
    : around_(around),
      exchange_(exchange),
      prepared_(std::move(prepared)),
      head_(std::move(head)),
      headers_(std::move(headers)),
      ticket_(around.room, std::move(engine_id)),
      text_(*around.model.tokenizer, prepared_.sampling),
      chunks_(head_),
      span_(http::start_span(around.tracer, "llm_request", exchange.head().headers,
                             exchange.arrived())) {
  if (!span_) return;
  const auto& asked = prepared_.request.sampling;
  span_.set("gen_ai.request.max_tokens", asked.max_tokens);
  span_.set("gen_ai.request.temperature", asked.temperature);
  span_.set("gen_ai.request.top_p", asked.top_p);
}

Generation::~Generation() {
  count();
  end_span();
}

Task<void> Generation::run() {
  const Status submitted = ticket_.submit(std::move(prepared_.request));
  if (!submitted) {
    reason_ = "error";
    co_await refuse(submitted.error());
    co_return;
  }
  // The head carries what only the first token tells.
  while (!report_ && !ending_ && !error_) {
    const Letter letter = co_await ticket_.next();
    take(letter);
  }
  if (report_) add_proof(headers_, *report_, first_token_ - exchange_.arrived());
  if (error_ && !report_) {
    co_await refuse(*error_);
  } else if (prepared_.delivery.stream) {
    co_await answer_streamed();
  } else {
    co_await answer_whole();
  }
}

Task<void> Generation::refuse(const Error& error) {
  const openai::ErrorBody body = openai::error_body(error);
  http::ResponseHead head{body.status, headers_};
  head.headers.set("content-type", "application/json");
  const Status sent = co_await exchange_.respond(std::move(head), openai::to_json(body));
  static_cast<void>(sent);  // the client may be gone
}

void Generation::take(const Letter& letter) {
  const runtime::Event& event = letter.event;
  const Mono now = letter.when;
  if (event.prompt) {
    report_ = event.prompt;
    first_token_ = now;
    around_.probe.first_token(now - exchange_.arrived(), *report_);
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

void Generation::take_tokens(const runtime::Event& event) {
  const bool stopped = event.finish == runtime::Finish::kStop;
  for (std::size_t i = 0; i < event.tokens.size(); ++i) {
    if (i < event.logprobs.size()) add_logprob(event, i);
    // The token that stops is counted, but is no text.
    const bool silent = stopped && i + 1 == event.tokens.size() && !prepared_.sampling.include_stop;
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

openai::Likely Generation::likely(token::TokenId id, float logprob) const {
  const token::Tokenizer& tokenizer = *around_.model.tokenizer;
  openai::Likely out{"", std::string(tokenizer.bytes(id)), logprob};
  out.token = prepared_.sampling.tokens_as_ids
                  ? fmt::format("token_id:{}", id)
                  : tokenizer.decode({&id, 1}, token::SkipSpecial::kNo);
  return out;
}

void Generation::add_logprob(const runtime::Event& event, std::size_t index) {
  const runtime::TokenLogprob& l = event.logprobs[index];
  openai::TokenLikely out{likely(event.tokens[index], l.logprob), {}};
  for (const auto& [id, logprob] : l.top) out.top.push_back(likely(id, logprob));
  logprobs_.push_back(std::move(out));
}

openai::Usage Generation::usage() const {
  openai::Usage out{report_ ? report_->prompt : 0, text_.tokens(), {}};
  if (around_.prompt_tokens_details && report_) out.cached = report_->cached;
  return out;
}

std::string Generation::whole() const {
  openai::Answer answer;
  answer.text = text_.text();
  if (prepared_.sampling.logprobs) answer.logprobs = logprobs_;
  answer.ending = *ending_;
  answer.usage = usage();
  if (transfer_) answer.kv_transfer_params = kv::encode(*transfer_);
  return openai::write_answer(head_, answer);
}

Task<void> Generation::answer_whole() {
  while (!ending_ && !error_) {
    const Letter letter = co_await ticket_.next();
    take(letter);
  }
  if (error_) {
    co_await refuse(*error_);
    co_return;
  }
  http::ResponseHead head{200, headers_};
  head.headers.set("content-type", "application/json");
  const Status sent = co_await exchange_.respond(std::move(head), whole());
  if (sent) ticket_.handed_over();
}

// One chunk for all that came since the last; none when there is nothing to say.
void Generation::write_piece(std::string& out) {
  const std::string_view fresh = text_.take();
  if (fresh.empty() && logprobs_.empty() && !ending_) return;
  const openai::Usage now = usage();
  openai::Piece piece{.text = fresh, .text_offset = offset_};
  if (prepared_.sampling.logprobs) piece.logprobs = logprobs_;
  if (prepared_.delivery.continuous_usage) piece.usage = &now;
  if (ending_) piece.ending = &*ending_;
  chunks_.piece(out, piece);
  offset_ += fresh.size();
  logprobs_.clear();
}

Task<void> Generation::answer_streamed() {
  http::ResponseHead head{200, headers_};
  head.headers.set("content-type", "text/event-stream; charset=utf-8");
  const Status started = co_await exchange_.start(std::move(head));
  if (!started) co_return;
  std::string out;
  if (head_.endpoint == openai::Endpoint::kChat) {
    const openai::Usage before{report_->prompt, 0, {}};
    chunks_.role(out, prepared_.delivery.continuous_usage ? &before : nullptr);
  }
  while (true) {
    if (!error_) write_piece(out);
    if (ending_ || error_) break;
    if (!out.empty()) {
      const Status written = co_await exchange_.write(out);
      if (!written) co_return;
      out.clear();
    }
    do {
      const Letter letter = co_await ticket_.next();
      take(letter);
    } while (ticket_.has_next() && !ending_ && !error_);
  }
  if (error_) {
    openai::ChunkWriter::error(out, openai::error_body(*error_));
  } else if (prepared_.delivery.include_usage || around_.force_usage) {
    chunks_.usage(out, usage());
  }
  openai::ChunkWriter::done(out);
  const Status written = co_await exchange_.write(out);
  if (!written) co_return;
  const Status finished = co_await exchange_.finish();
  static_cast<void>(finished);
}

void Generation::count() {
  Probe::Finished f;
  f.reason = reason_;
  f.prompt = report_ ? report_->prompt : 0;
  f.generated = text_.tokens();
  f.max_tokens = prepared_.sampling.max_tokens.value_or(0);
  if (report_) {
    f.total = last_token_ - exchange_.arrived();
    f.decode = last_token_ - first_token_;
    f.inference = f.decode + report_->transfer + report_->compute;
  }
  around_.probe.finished(f);
}

// Names: vllm/tracing.py, times in seconds. Ours: where the prompt's KV came from.
void Generation::end_span() {
  if (!span_) return;
  span_.set("gen_ai.response.model", head_.model);
  span_.set("gen_ai.request.id", head_.id);
  span_.set("gen_ai.request.n", 1);
  span_.set("gen_ai.usage.num_sequences", 1);
  span_.set("gen_ai.usage.completion_tokens", text_.tokens());
  span_.set("baton.finish_reason", reason_);
  if (report_) {
    const Nanos decode = last_token_ - first_token_;
    const Nanos prefill = report_->transfer + report_->compute;
    span_.set("gen_ai.usage.prompt_tokens", report_->prompt);
    span_.set("gen_ai.latency.time_in_queue", seconds(report_->queue));
    span_.set("gen_ai.latency.time_to_first_token", seconds(first_token_ - exchange_.arrived()));
    span_.set("gen_ai.latency.e2e", seconds(last_token_ - exchange_.arrived()));
    span_.set("gen_ai.latency.time_in_model_prefill", seconds(prefill));
    span_.set("gen_ai.latency.time_in_model_decode", seconds(decode));
    span_.set("gen_ai.latency.time_in_model_inference", seconds(prefill + decode));
    span_.set("baton.prompt_tokens.remote", report_->remote);
    span_.set("baton.prompt_tokens.cached", report_->cached);
    span_.set("baton.prompt_tokens.computed", report_->computed);
    if (!report_->transfer_error.empty()) {
      span_.set("baton.transfer_error", report_->transfer_error);
    }
  }
  if (reason_ == "error" || error_) span_.fail(error_ ? error_->message() : "error");
}

}  // namespace baton::serve
