#include "routing/epp/ext_proc.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text/json.hpp"
#include "net/http/message.hpp"

namespace baton::epp {
namespace {

constexpr std::string_view kRequestId = "x-request-id";
constexpr std::string_view kPrefiller = "x-prefiller-host-port";

// What steers routing behind the picker (picker reference 2, sidecar reference 8): only the picker
// says it.
constexpr std::array<std::string_view, 9> kRouting = {
    kPrefiller,
    "x-prefiller-url",
    "x-encoder-hosts-ports",
    "x-kv-cache-source-host-port",
    "x-data-parallel-host-port",
    "x-data-parallel-rank",
    kDestination,
    "x-gateway-destination-endpoint-subset",
    "x-gateway-destination-endpoint-served",
};

std::optional<std::string_view> either(const HeaderList& headers, std::string_view now,
                                       std::string_view old) {
  const auto found = find(headers, now);
  return found ? found : find(headers, old);
}

std::size_t length_of(const HeaderList& headers) {
  const auto text = find(headers, "content-length").value_or("");
  std::size_t length = 0;
  std::from_chars(text.data(), text.data() + text.size(), length);
  return length;
}

bool inspects(BodyMode mode) {
  return mode == BodyMode::kFullDuplex || mode == BodyMode::kBuffered ||
         mode == BodyMode::kStreamed;
}

std::size_t replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::size_t count = 0;
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
    ++count;
  }
  return count;
}

}  // namespace

ExtProc::ExtProc(Desk& desk) : desk_(desk), received_(desk.now()) { desk_.metrics().streams(1); }

ExtProc::~ExtProc() {
  if (placed_ && phase_ != Phase::kDone && !placed_->skip_response) {
    desk_.metrics().client_gone();
    finish(Whole::kNo);
  }
  if (running_) placed_->series->running.each([](observe::Gauge& g) { g.add(-1); });
  desk_.metrics().streams(-1);
}

Result<ExtProc::Next> ExtProc::on_message(std::string_view bytes, Replies& replies) {
  BATON_TRY(read_message(bytes, message_));
  if (message_.request_mode) request_mode_ = *message_.request_mode;
  if (message_.response_mode) response_mode_ = *message_.response_mode;
  if (message_.observed || phase_ == Phase::kDone) return Next::kGoOn;
  if (!message_.metadata.empty() && message_.side == Side::kRequest) {
    subset_ = metadata_list(message_.metadata, "envoy.lb.subset_hint",
                            "x-gateway-destination-endpoint-subset");
  }
  if (phase_ >= Phase::kPlaced && message_.side == Side::kResponse) body_ = {};
  switch (message_.kind) {
    case Message::Kind::kHeaders:
      if (message_.side == Side::kRequest) {
        on_request_headers(message_, replies);
      } else {
        on_response_headers(message_, replies);
      }
      break;
    case Message::Kind::kBody:
      if (message_.side == Side::kRequest) {
        on_request_body(message_, replies);
      } else {
        on_response_body(message_, replies);
      }
      break;
    case Message::Kind::kTrailers:
      on_trailers(message_.side, replies);
      break;
    case Message::Kind::kOther:
      break;
  }
  const bool skips = placed_ && placed_->skip_response && phase_ == Phase::kPlaced;
  return skips ? Next::kEnd : Next::kGoOn;
}

void ExtProc::on_request_headers(const Message& message, Replies& replies) {
  if (phase_ != Phase::kHeaders) return;
  const auto& headers = message.headers;
  for (const auto name : {":path", "x-original-path", "x-forwarded-path"}) {
    if (path_.empty()) path_ = find(headers, name).value_or("");
  }
  span_ = observe::start_span(desk_.tracer(), "gateway.request",
                              {find(headers, observe::kTraceparent).value_or(""),
                               find(headers, observe::kTracestate).value_or("")},
                              received_);
  request_id_ = find(headers, kRequestId).value_or("");
  new_request_id_ = request_id_.empty();
  if (new_request_id_) request_id_ = desk_.new_request_id();
  span_.set("gen_ai.request.id", request_id_);
  rewrite_ =
      either(headers, "x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite").value_or("");
  fairness_ = either(headers, "x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")
                  .value_or("default-flow");
  for (const auto name : kRouting) {
    if (find(headers, name)) removed_.push_back(name);
  }
  if (!removed_.empty()) desk_.metrics().headers_removed(removed_.size());
  if (message.end_of_stream) {
    auto chosen = desk_.place_any();
    if (const auto* refused = std::get_if<Refusal>(&chosen)) return refuse(*refused, replies);
    Changes wanted = changes(false);
    const auto& destination = std::get<std::string>(chosen);
    std::erase(wanted.remove, kDestination);
    wanted.set.insert(wanted.set.begin(), {kDestination, destination});
    const Pick pick{.destination = destination, .scores = {}};
    replies.push_back(headers_reply(Side::kRequest, wanted, &pick));
    phase_ = Phase::kPlaced;
    return;
  }
  if (!inspects(request_mode_)) {
    return refuse(
        {.status = 500,
         .code = "Internal",
         .message = fmt::format("request_body_mode {} keeps the body from the picker: set "
                                "FULL_DUPLEX_STREAMED or BUFFERED",
                                name(request_mode_))},
        replies);
  }
  body_.reserve(std::min(length_of(headers), desk_.config().body_bytes));
  phase_ = Phase::kRequestBody;
  if (request_mode_ == BodyMode::kBuffered) {
    replies.push_back(headers_reply(Side::kRequest, {}, nullptr));
  } else if (request_mode_ == BodyMode::kStreamed && place(false, replies)) {
    const Pick pick{.destination = placed_->destination, .scores = placed_->scores};
    replies.push_back(headers_reply(Side::kRequest, changes(false), &pick));
  }
}

void ExtProc::on_request_body(const Message& message, Replies& replies) {
  if (phase_ != Phase::kRequestBody) return;
  if (body_.size() + message.body.size() > desk_.config().body_bytes) {
    return refuse({.status = 413,
                   .code = "RequestEntityTooLarge",
                   .message = fmt::format("the request body is over the limit of {} bytes",
                                          desk_.config().body_bytes)},
                  replies);
  }
  body_ += message.body;
  // A buffered body comes in one piece, whether trailers follow or not.
  if (message.end_of_stream || request_mode_ == BodyMode::kBuffered) {
    on_request_end(!message.end_of_stream, replies);
  } else if (request_mode_ == BodyMode::kStreamed) {
    cleared_ = true;
    replies.push_back(cleared_body_reply(Side::kRequest));
  }
}

void ExtProc::on_request_end(bool trailers, Replies& replies) {
  request_bytes_ = body_.size();
  if (request_mode_ == BodyMode::kStreamed) {
    send_streamed_body(trailers, replies);
    if (phase_ == Phase::kDone) return;
  } else if (place(true, replies)) {
    send_placed(trailers, replies);
  } else {
    return;
  }
  phase_ = Phase::kPlaced;
  auto& series = *placed_->series;
  series.requests.each([](observe::Counter& c) { c.add(); });
  observe_in(series.request_bytes, static_cast<double>(request_bytes_));
  if (!placed_->model.empty()) {
    running_ = true;
    series.running.each([](observe::Gauge& g) { g.add(1); });
  }
  desk_.metrics().request_processed(desk_.now() - received_);
}

// False: refused.
bool ExtProc::place(bool body_known, Replies& replies) {
  auto span = span_.child("gateway.request_orchestration");
  auto chosen = desk_.place({.path = path_,
                             .model_rewrite = rewrite_,
                             .fairness = fairness_,
                             .subset = subset_ ? &*subset_ : nullptr,
                             .body_known = body_known},
                            body_);
  if (const auto* refused = std::get_if<Refusal>(&chosen)) {
    span.fail(refused->message);
    refuse(*refused, replies);
    return false;
  }
  placed_ = std::get<Placed>(std::move(chosen));
  span.set("baton.decode", placed_->destination);
  if (placed_->prefiller) span.set("baton.prefill", *placed_->prefiller);
  span_.set("gen_ai.request.model", placed_->model);
  return true;
}

Changes ExtProc::changes(bool with_length) const {
  Changes out;
  if (placed_) {
    out.set.emplace_back(kDestination, placed_->destination);
    if (placed_->prefiller) out.set.emplace_back(kPrefiller, *placed_->prefiller);
  }
  if (with_length && !body_.empty()) {
    out.set.emplace_back("content-length", fmt::to_string(body_.size()));
  }
  if (new_request_id_) out.set.emplace_back(kRequestId, request_id_);
  if (span_.context().valid()) {
    out.set.emplace_back(observe::kTraceparent, observe::to_traceparent(span_.context()));
  }
  for (const auto name : removed_) {
    const bool set = std::ranges::any_of(out.set, [&](const auto& e) { return e.first == name; });
    if (!set) out.remove.push_back(name);
  }
  return out;
}

void ExtProc::send_placed(bool trailers, Replies& replies) {
  const Pick pick{.destination = placed_->destination, .scores = placed_->scores};
  if (request_mode_ == BodyMode::kBuffered) {
    const auto wanted = changes(placed_->body_changed);
    replies.push_back(placed_->body_changed
                          ? replaced_body_reply(Side::kRequest, body_, &wanted, &pick)
                          : body_reply(Side::kRequest, &wanted, &pick));
    return;
  }
  replies.push_back(headers_reply(Side::kRequest, changes(true), &pick));
  std::string_view rest = body_;
  do {
    const auto piece = rest.substr(0, kPieceBytes);
    rest.remove_prefix(piece.size());
    replies.push_back(streamed_reply(Side::kRequest, piece, rest.empty() && !trailers));
  } while (!rest.empty());
}

// The whole body in place of its last piece; before trailers, when no piece of it is left to
// answer, it cannot be sent any more.
void ExtProc::send_streamed_body(bool trailers, Replies& replies) {
  const bool changed = desk_.clean(path_, body_);
  if (trailers) {
    if (body_.empty()) return;
    return refuse({.status = 400,
                   .code = "BadRequest",
                   .message = "a body with trailers needs request_body_mode FULL_DUPLEX_STREAMED"},
                  replies);
  }
  replies.push_back(changed || cleared_
                        ? replaced_body_reply(Side::kRequest, body_, nullptr, nullptr)
                        : body_reply(Side::kRequest, nullptr, nullptr));
}

void ExtProc::refuse(const Refusal& refusal, Replies& replies) {
  using Reason = std::pair<std::string_view, std::string_view>;
  std::optional<Reason> reason;
  if (!refusal.reason.empty()) reason = Reason("x-llm-d-request-dropped-reason", refusal.reason);
  replies.push_back(immediate_reply(
      refusal.status, fmt::format("inference error: {} - {}", refusal.code, refusal.message),
      reason));
  span_.fail(refusal.message);
  span_.end();
  auto& metrics = desk_.metrics();
  metrics.failed(placed_ ? *placed_->series : metrics.series("", "", fairness_), refusal.code);
  metrics.request_processed(desk_.now() - received_);
  phase_ = Phase::kDone;
  body_ = {};
}

void ExtProc::on_response_headers(const Message& message, Replies& replies) {
  if (phase_ == Phase::kAnswer) return;
  phase_ = Phase::kAnswer;
  const auto& headers = message.headers;
  const auto status = either(headers, ":status", "status").value_or("200");
  model_error_ = status != "200";
  span_.set("http.response.status_code", status);
  if (status.starts_with('5')) span_.fail("the engine answered an error");
  const auto type = find(headers, "content-type");
  event_stream_ = (placed_ && placed_->stream) ||
                  type.value_or("").find("text/event-stream") != std::string_view::npos;
  holding_ = placed_ && !event_stream_ && response_mode_ == BodyMode::kFullDuplex;
  if (placed_ && status.starts_with('2')) {
    desk_.answered(*placed_, pick::used_prefill(find(headers, "x-baton-prefill")));
    if (placed_->api) {
      learner_.emplace(*placed_->api, pick::answer_form(type),
                       placed_->chain ? &*placed_->chain : nullptr);
    }
  }
  Changes told;
  told.set.emplace_back("x-went-into-resp-headers", "true");
  replies.push_back(headers_reply(Side::kResponse, told, nullptr));
  if (message.end_of_stream) finish(Whole::kYes);
}

// Usage, tokens, what the pod now holds, times.
void ExtProc::inspect(std::string_view piece) {
  const auto now = desk_.now();
  response_bytes_ += piece.size();
  if (!first_piece_) {
    first_piece_ = now;
  } else if (event_stream_ && placed_) {
    observe_in(placed_->series->stream_gap, seconds(now - *last_piece_));
  }
  last_piece_ = now;
  if (!placed_) return;
  usage_.feed(piece);
  if (learner_) desk_.learned(*placed_, learner_->feed(piece).blocks);
}

// The piece with the model's name as the client gave it.
std::string_view ExtProc::restored(std::string_view piece) {
  if (!placed_ || placed_->target == placed_->model) return piece;
  const auto quoted = [](const std::string& name) {
    return text::json::dump(text::json::Value(name));
  };
  const auto target = quoted(placed_->target);
  const auto model = quoted(placed_->model);
  rewritten_ = piece;
  if (replace_all(rewritten_, "\"model\":" + target, "\"model\":" + model) == 0) {
    replace_all(rewritten_, "\"model\": " + target, "\"model\": " + model);
  }
  return rewritten_;
}

void ExtProc::on_response_body(const Message& message, Replies& replies) {
  if (phase_ != Phase::kAnswer) return;
  const auto started = desk_.now();
  inspect(message.body);
  const bool last = message.end_of_stream;
  if (response_mode_ != BodyMode::kFullDuplex) {
    const auto piece = restored(message.body);
    replies.push_back(piece == message.body
                          ? body_reply(Side::kResponse, nullptr, nullptr)
                          : replaced_body_reply(Side::kResponse, piece, nullptr, nullptr));
  } else if (holding_) {
    held_ += message.body;
    if (last || held_.size() > kHeldAnswer) release_answer(last, replies);
  } else {
    held_ = {};
    std::string_view rest = restored(message.body);
    do {
      const auto piece = rest.substr(0, kPieceBytes);
      rest.remove_prefix(piece.size());
      replies.push_back(streamed_reply(Side::kResponse, piece, last && rest.empty()));
    } while (!rest.empty());
  }
  if (last) finish(Whole::kYes);
  desk_.metrics().response_processed(desk_.now() - started);
}

void ExtProc::release_answer(bool end_of_stream, Replies& replies) {
  holding_ = false;
  const auto whole = restored(held_);
  if (whole.data() != rewritten_.data()) rewritten_ = std::move(held_);
  held_ = {};
  std::string_view rest = rewritten_;
  do {
    const auto piece = rest.substr(0, kPieceBytes);
    rest.remove_prefix(piece.size());
    replies.push_back(streamed_reply(Side::kResponse, piece, end_of_stream && rest.empty()));
  } while (!rest.empty());
}

void ExtProc::on_trailers(Side side, Replies& replies) {
  if (side == Side::kRequest) {
    if (phase_ == Phase::kRequestBody) on_request_end(true, replies);
    if (phase_ != Phase::kDone) replies.push_back(trailers_reply(side));
    return;
  }
  if (phase_ != Phase::kAnswer) return;
  if (holding_ && !held_.empty()) release_answer(false, replies);
  replies.push_back(trailers_reply(side));
  finish(Whole::kYes);
}

// The answer is over, whole or not.
void ExtProc::finish(Whole whole) {
  phase_ = Phase::kDone;
  if (whole == Whole::kNo) span_.fail("the stream ended before the answer");
  span_.end();
  if (!placed_) return;
  auto& series = *placed_->series;
  if (learner_) desk_.learned(*placed_, learner_->finish().blocks);
  placed_->picked.decode.release();
  placed_->picked.prefill.release();
  if (model_error_) desk_.metrics().failed(series, "ModelServerError");
  if (first_piece_) {
    observe_in(event_stream_ ? series.first_token_streamed : series.first_token,
               seconds(*first_piece_ - received_));
  }
  const auto& usage = usage_.usage();
  const auto count = [](const Spread& spread, std::optional<std::uint64_t> value) {
    if (value && *value > 0) observe_in(spread, static_cast<double>(*value));
  };
  count(series.input_tokens, usage.prompt);
  count(series.output_tokens, usage.completion);
  if (usage.cached) observe_in(series.cached_tokens, static_cast<double>(*usage.cached));
  observe_in(series.response_bytes, static_cast<double>(response_bytes_));
  if (whole == Whole::kNo || model_error_) return;
  const auto took = seconds(desk_.now() - received_);
  observe_in(series.duration, took);
  const auto tokens = static_cast<double>(usage.completion.value_or(0));
  if (tokens > 0) observe_in(series.per_output_token, took / tokens);
  if (tokens > 1 && event_stream_ && last_piece_) {
    observe_in(series.stream_token, seconds(*last_piece_ - *first_piece_) / (tokens - 1));
  }
}

}  // namespace baton::epp
