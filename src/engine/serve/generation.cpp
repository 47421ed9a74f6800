#include "engine/serve/generation.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/core/log.hpp"
#include "base/text/json.hpp"
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

void add_counts(http::Headers& headers, const runtime::PromptReport& r) {
  const auto number = [&](std::string_view name, std::uint64_t value) {
    headers.set(name, fmt::format("{}", value));
  };
  number("x-baton-prompt-tokens", r.prompt);
  number("x-baton-remote-tokens", r.remote);
  number("x-baton-cached-tokens", r.cached);
  number("x-baton-computed-tokens", r.computed);
  number("x-baton-kv-bytes", r.kv_bytes);
}

openai::Phase told(runtime::Phase phase) {
  switch (phase) {
    case runtime::Phase::kQueue:
      return openai::Phase::kQueue;
    case runtime::Phase::kTransfer:
      return openai::Phase::kTransfer;
    case runtime::Phase::kPrefill:
      return openai::Phase::kPrefill;
    case runtime::Phase::kDecode:
      return openai::Phase::kDecode;
  }
  return openai::Phase::kQueue;
}

}  // namespace

void add_proof(http::Headers& headers, const runtime::PromptReport& r, Nanos first_token) {
  add_counts(headers, r);
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
      arrived_(around.room.executor()),
      span_(http::start_span(around.tracer, "llm_request", exchange.head().headers,
                             exchange.arrived())) {
  const std::size_t count = prepared_.prompts.size() * samples();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t prompt = i / samples();
    const Choice::Setup setup{
        .sampling = prepared_.sampling,
        .prompt = prepared_.prompts[prompt],
        .echo = prepared_.echoes.empty() ? "" : std::string_view(prepared_.echoes[prompt]),
        .index = i,
        .asked = exchange.arrived(),
        .arrived = arrived_};
    choices_.push_back(std::make_unique<Choice>(
        around_, setup, count == 1 ? engine_id : fmt::format("{}-{}", engine_id, i)));
  }
  if (!span_) return;
  const auto& asked = prepared_.params;
  span_.set("gen_ai.request.max_tokens", asked.max_tokens);
  span_.set("gen_ai.request.temperature", asked.temperature);
  span_.set("gen_ai.request.top_p", asked.top_p);
}

Generation::~Generation() {
  end_span();
  if (!are_over() || error() != nullptr) return;
  const auto longest = std::ranges::max_element(choices_, {}, &Choice::tokens);
  around_.probe.longest_choice((*longest)->tokens());
}

Status Generation::submit(Wave wave) {
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const std::size_t sample = i % samples();
    if ((sample == 0) != (wave == Wave::kFirst)) continue;
    runtime::GenerateRequest request;
    request.prompt = prepared_.prompts[i / samples()];
    request.sampling = prepared_.params;
    if (request.sampling.seed) *request.sampling.seed += sample;
    if (sample > 0) request.sampling.prompt_logprobs.reset();
    request.priority = prepared_.delivery.priority;
    request.cache_salt = prepared_.delivery.cache_salt;
    request.transfer = prepared_.transfer;
    request.deadline = prepared_.deadline;
    BATON_TRY(choices_[i]->submit(std::move(request)));
  }
  return {};
}

bool Generation::take() {
  bool any = false;
  for (auto& choice : choices_) any = choice->take() || any;
  return any;
}

bool Generation::have_begun() const {
  for (std::size_t i = 0; i < prepared_.prompts.size(); ++i) {
    if (!first_of(i).has_begun()) return false;
  }
  return true;
}

bool Generation::are_over() const {
  return std::ranges::all_of(choices_, [](const auto& choice) { return choice->is_over(); });
}

const Error* Generation::error() const {
  for (const auto& choice : choices_) {
    if (choice->error()) return &*choice->error();
  }
  return nullptr;
}

Task<void> Generation::run() {
  // The head carries what only the first token of each prompt tells.
  Status submitted = submit(Wave::kFirst);
  while (submitted && error() == nullptr && !have_begun()) {
    if (!take()) co_await arrived_.wait();
    if (is_announced()) {
      co_await answer_announced();
      co_return;
    }
  }
  if (submitted && error() == nullptr) submitted = submit(Wave::kOthers);
  if (!submitted) {
    co_await refuse(submitted.error());
  } else if (const Error* wrong = error(); wrong != nullptr && !have_reports()) {
    co_await refuse(*wrong);
  } else {
    add_proof(headers_, report(), first_token() - exchange_.arrived());
    if (prepared_.delivery.stream) {
      co_await answer_streamed();
    } else {
      co_await answer_whole();
    }
  }
}

Task<void> Generation::refuse(const Error& error) {
  const openai::ErrorBody body = openai::error_body(error);
  http::ResponseHead head{body.status, headers_};
  head.headers.set("content-type", "application/json");
  const Status sent =
      co_await exchange_.respond(std::move(head), openai::error_text(head_.endpoint, body));
  static_cast<void>(sent);  // the client may be gone
}

// Of all prompts: tokens add up, and they were waited for at the same time.
runtime::PromptReport Generation::report() const {
  runtime::PromptReport out;
  for (std::size_t i = 0; i < prepared_.prompts.size(); ++i) {
    const auto& one = first_of(i).report();
    if (!one) continue;
    out.prompt += one->prompt;
    out.remote += one->remote;
    out.cached += one->cached;
    out.computed += one->computed;
    out.kv_bytes += one->kv_bytes;
    out.queue = std::max(out.queue, one->queue);
    out.transfer = std::max(out.transfer, one->transfer);
    out.compute = std::max(out.compute, one->compute);
    if (out.transfer_error.empty()) out.transfer_error = one->transfer_error;
  }
  return out;
}

bool Generation::have_reports() const {
  for (std::size_t i = 0; i < prepared_.prompts.size(); ++i) {
    if (!first_of(i).report()) return false;
  }
  return true;
}

Mono Generation::first_token() const {
  Mono out{};
  for (std::size_t i = 0; i < prepared_.prompts.size(); ++i)
    out = std::max(out, first_of(i).first_token());
  return out;
}

openai::Usage Generation::usage() const {
  const auto prompts = report();
  openai::Usage out{prompts.prompt, 0, {}};
  for (const auto& choice : choices_) out.completion += choice->tokens();
  if (around_.prompt_tokens_details) out.cached = prompts.cached;
  return out;
}

bool Generation::is_announced() const { return choices_.front()->announcement() && !have_begun(); }

openai::LiveRequest Generation::look() const {
  openai::LiveRequest out{.id = "", .phase = openai::Phase::kDecode};
  for (const auto& choice : choices_) {
    if (!choice->is_over()) out.phase = std::min(out.phase, told(choice->progress().phase));
    out.answer += choice->tokens();
  }
  for (std::size_t i = 0; i < prepared_.prompts.size(); ++i) {
    out.prompt += prepared_.prompts[i].size();
    out.ready += first_of(i).progress().ready;
  }
  return out;
}

Task<void> Generation::until_over() {
  while (error() == nullptr && !are_over()) {
    if (!take()) co_await arrived_.wait();
  }
}

std::string Generation::whole_answer() const {
  openai::Answer answer{.choices = {}, .usage = usage(), .kv_transfer_params = {}};
  for (const auto& choice : choices_) answer.choices.push_back(choice->whole());
  const Choice& first = *choices_.front();
  if (first.transfer()) answer.kv_transfer_params = kv::encode(*first.transfer());
  return openai::make_writer(head_, {})->whole(answer);
}

Task<void> Generation::answer_whole() {
  co_await until_over();
  if (const Error* wrong = error()) {
    co_await refuse(*wrong);
    co_return;
  }
  http::ResponseHead head{200, headers_};
  head.headers.set("content-type", "application/json");
  const Status sent = co_await exchange_.respond(std::move(head), whole_answer());
  if (sent) choices_.front()->handed_over();
}

Task<void> Generation::answer_announced() {
  const runtime::Event& told = *choices_.front()->announcement();
  add_counts(headers_, *told.prompt);
  headers_.set("server-timing", fmt::format("queue;dur={:.3f}", millis(told.prompt->queue)));
  headers_.set(
      kv::kAnnouncedHeader,
      text::json::dump(text::json::Object{{"kv_transfer_params", kv::encode(*told.announced)}}));
  http::ResponseHead head{200, headers_};
  head.headers.set("content-type", "application/json");
  const Status started = co_await exchange_.start(std::move(head));
  if (!started) co_return;
  co_await until_over();
  if (const Error* wrong = error()) {
    log::warn("an announced prompt was not computed",
              {{"request", head_.id}, {"why", wrong->message()}});
    co_return;  // the break says so
  }
  const Status written = co_await exchange_.write(whole_answer());
  if (!written) co_return;
  const Status finished = co_await exchange_.finish();
  if (finished) choices_.front()->handed_over();
}

// One chunk of a choice for all that came since its last; none when there is nothing to say.
Task<void> Generation::answer_streamed() {
  http::ResponseHead head{200, headers_};
  head.headers.set("content-type", "text/event-stream; charset=utf-8");
  const Status started = co_await exchange_.start(std::move(head));
  if (!started) co_return;
  const auto& delivery = prepared_.delivery;
  openai::StreamForm form{.choices = choices_.size(),
                          .include_usage = delivery.include_usage || around_.force_usage,
                          .continuous_usage = delivery.continuous_usage,
                          .prompt_ids = {}};
  if (prepared_.sampling.return_ids) form.prompt_ids = prepared_.prompts.front();
  const auto writer = openai::make_writer(head_, form);
  std::string out;
  openai::Usage before = usage();
  before.completion = 0;
  writer->begin(out, before);
  while (error() == nullptr) {
    const openai::Usage now = usage();
    for (auto& choice : choices_)
      choice->write_piece(*writer, out, delivery.continuous_usage ? &now : nullptr);
    if (are_over()) break;
    if (!out.empty()) {
      const Status written = co_await exchange_.write(out);
      if (!written) co_return;
      out.clear();
    }
    while (!take()) co_await arrived_.wait();
  }
  if (const Error* wrong = error()) {
    writer->error(out, openai::error_body(*wrong));
  } else {
    writer->end(out, usage());
  }
  const Status written = co_await exchange_.write(out);
  if (!written) co_return;
  const Status finished = co_await exchange_.finish();
  static_cast<void>(finished);
}

// Names: vllm/tracing.py, times in seconds. Ours: where the prompt's KV came from.
void Generation::end_span() {
  if (!span_) return;
  span_.set("gen_ai.response.model", head_.model);
  span_.set("gen_ai.request.id", head_.id);
  span_.set("gen_ai.request.n", prepared_.sampling.n);
  span_.set("gen_ai.usage.num_sequences", choices_.size());
  span_.set("gen_ai.usage.completion_tokens", usage().completion);
  const Choice& first = *choices_.front();
  span_.set("baton.finish_reason", first.reason());
  if (have_reports()) {
    const auto prompts = report();
    Mono last{};
    for (const auto& choice : choices_) last = std::max(last, choice->last_token());
    const Nanos decode = last - first_token();
    const Nanos prefill = prompts.transfer + prompts.compute;
    span_.set("gen_ai.usage.prompt_tokens", prompts.prompt);
    span_.set("gen_ai.latency.time_in_queue", seconds(prompts.queue));
    span_.set("gen_ai.latency.time_to_first_token", seconds(first_token() - exchange_.arrived()));
    span_.set("gen_ai.latency.e2e", seconds(last - exchange_.arrived()));
    span_.set("gen_ai.latency.time_in_model_prefill", seconds(prefill));
    span_.set("gen_ai.latency.time_in_model_decode", seconds(decode));
    span_.set("gen_ai.latency.time_in_model_inference", seconds(prefill + decode));
    span_.set("baton.prompt_tokens.remote", prompts.remote);
    span_.set("baton.prompt_tokens.cached", prompts.cached);
    span_.set("baton.prompt_tokens.computed", prompts.computed);
    if (!prompts.transfer_error.empty()) {
      span_.set("baton.transfer_error", prompts.transfer_error);
    }
  }
  if (const Error* wrong = error()) span_.fail(wrong->message());
}

}  // namespace baton::serve
