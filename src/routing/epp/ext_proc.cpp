#include "routing/epp/ext_proc.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/core/assert.hpp"
#include "base/text/json.hpp"
#include "net/http/message.hpp"
#include "routing/ticket/ticket.hpp"

namespace baton::epp {
namespace {

constexpr std::string_view kRequestId = "x-request-id", kPrefer = "prefer",
                           kDroppedReason = "x-llm-d-request-dropped-reason";
constexpr std::string_view kDefaultFlow = "default-flow";

// What steers routing behind the picker (picker reference 2, sidecar reference 8): only the picker
// says it.
constexpr std::array<std::string_view, 10> kRouting = {
    schedule::kPrefillHeader,
    "x-prefiller-url",
    schedule::kEncodeHeader,
    "x-kv-cache-source-host-port",
    schedule::kDataParallelHeader,
    "x-data-parallel-rank",
    kDestination,
    "x-gateway-destination-endpoint-subset",
    "x-gateway-destination-endpoint-served",
    ticket::kHeader,
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

// RFC 7240: tokens behind commas, each with parameters behind ';' that do not matter here.
bool prefers(const HeaderList& headers, std::string_view wanted) {
  for (const auto& [name, value] : headers) {
    if (name.size() != kPrefer.size() || !http::equal_names(name, kPrefer)) continue;
    for (std::size_t at = 0; at <= value.size();) {
      const auto comma = std::min(value.find(',', at), value.size());
      auto token = value.substr(at, comma - at);
      token = token.substr(0, token.find(';'));
      while (token.starts_with(' ')) token.remove_prefix(1);
      while (token.ends_with(' ')) token.remove_suffix(1);
      if (http::equal_names(token, wanted)) return true;
      at = comma + 1;
    }
  }
  return false;
}

std::optional<Nanos> millis_of(std::optional<std::string_view> text) {
  constexpr double kMost = 1e12;
  double value = 0;
  if (!text) return std::nullopt;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (failed != std::errc() || end != text->data() + text->size()) return std::nullopt;
  if (!(value >= 0 && value <= kMost)) return std::nullopt;
  return Nanos(static_cast<std::int64_t>(value * 1e6));
}

double millis(std::optional<Nanos> time) { return time ? seconds(*time) * 1e3 : 0; }

bool inspects(BodyMode mode) {
  return mode == BodyMode::kFullDuplex || mode == BodyMode::kBuffered ||
         mode == BodyMode::kStreamed;
}

}  // namespace

ExtProc::ExtProc(Desk& desk) : desk_(desk), received_(desk.now()) { desk_.metrics().streams(1); }

ExtProc::~ExtProc() {
  const bool waits = waits_for_owner();
  if (placed_ && phase_ != Phase::kDone && !placed_->skip_response) {
    desk_.metrics().client_gone();
    if (!waits) finish(Whole::kNo);
  }
  if (running_) placed_->series->running.each([](observe::Gauge& g) { g.add(-1); });
  desk_.metrics().streams(-1);
}

Result<ExtProc::Next> ExtProc::on_message(std::string_view bytes, Replies& replies) {
  const bool begins = phase_ == Phase::kHeaders;
  if (begins) {
    head_ = bytes;
    bytes = head_;
  }
  BATON_TRY(read_message(bytes, message_));
  // Told in the first message; a body is answered in the mode in which it began.
  if (begins && message_.request_mode) request_mode_ = *message_.request_mode;
  if (begins && message_.response_mode) response_mode_ = *message_.response_mode;
  if (message_.observed || phase_ == Phase::kDone) return Next::kGoOn;
  BATON_ASSERT(!waits_for_owner());
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
  return next();
}

ExtProc::Next ExtProc::next() const {
  if (phase_ == Phase::kKeying) return Next::kKey;
  if (phase_ == Phase::kPredicting) return Next::kPredict;
  if (phase_ == Phase::kWaiting) return Next::kWait;
  const bool skips = placed_ && placed_->skip_response && phase_ == Phase::kPlaced;
  return skips ? Next::kEnd : Next::kGoOn;
}

void ExtProc::on_request_headers(const Message& message, Replies& replies) {
  if (phase_ != Phase::kHeaders) return;
  const auto& headers = message.headers;
  headers_.reserve(headers.size());
  for (const auto& [name, value] : headers) {
    if (name.empty()) continue;
    // Ours, and proxies write them in lower case already.
    auto* const own = head_.data() + (name.data() - head_.data());
    for (std::size_t i = 0; i < name.size(); ++i) {
      if (own[i] >= 'A' && own[i] <= 'Z') own[i] = static_cast<char>(own[i] - 'A' + 'a');
    }
    headers_.push_back({name, value});
  }
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
  objective_ =
      either(headers, "x-llm-d-inference-objective", "x-gateway-inference-objective").value_or("");
  fairness_ = either(headers, "x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")
                  .value_or(desk_.agent(headers_));
  if (fairness_.empty()) fairness_ = kDefaultFlow;
  slo_ttft_ = millis_of(either(headers, "x-llm-d-slo-ttft-ms", "x-slo-ttft-ms"));
  slo_tpot_ = millis_of(either(headers, "x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"));
  only_if_cached_ = prefers(headers, "if-available");
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
  } else if (request_mode_ == BodyMode::kStreamed) {
    read(Body::kUnknown, replies);
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
  trailers_ = trailers;
  if (request_mode_ != BodyMode::kStreamed) return read(Body::kKnown, replies);
  send_streamed_body(replies);
  if (phase_ != Phase::kDone) placed(replies);
}

Asked ExtProc::asked() const {
  return {.path = path_,
          .model_rewrite = rewrite_,
          .objective = objective_,
          .fairness = fairness_,
          .request_id = request_id_,
          .headers = headers_,
          .subset = subset_ ? &*subset_ : nullptr,
          .body_known = body_known_ == Body::kKnown,
          .only_if_cached = only_if_cached_,
          .slo = {.ttft_ms = millis(slo_ttft_), .tpot_ms = millis(slo_tpot_)}};
}

// The request is known as far as it will be before it gets its route.
void ExtProc::read(Body body, Replies& replies) {
  body_known_ = body;
  orchestration_ = span_.child("gateway.request_orchestration");
  auto request = desk_.read(asked(), body_);
  if (const auto* refused = std::get_if<Refusal>(&request)) return refuse(*refused, replies);
  placed_ = std::get<Placed>(std::move(request));
  span_.set("gen_ai.request.model", placed_->model);
  if (!desk_.keys(*placed_)) return ready(replies);
  phase_ = Phase::kKeying;
}

std::optional<RenderAsk> ExtProc::render() const {
  auto ask = desk_.render(*placed_, body_);
  if (ask && orchestration_.context().valid()) {
    ask->traceparent = observe::to_traceparent(orchestration_.context());
  }
  return ask;
}

std::optional<pick::KeyedPrompt> ExtProc::key() const { return desk_.key(*placed_, body_); }

ExtProc::Next ExtProc::keyed(std::optional<pick::KeyedPrompt> prompt, Replies& replies) {
  BATON_ASSERT(phase_ == Phase::kKeying);
  phase_ = Phase::kRequestBody;
  placed_->keyed = std::move(prompt);
  placed_->rendered = {};
  ready(replies);
  return next();
}

void ExtProc::ready(Replies& replies) {
  rows_ = desk_.survey(asked(), *placed_);
  if (rows_.empty()) return enter(replies);
  phase_ = Phase::kPredicting;
}

ExtProc::Next ExtProc::predicted(const std::optional<std::vector<schedule::Latencies>>& made,
                                 Replies& replies) {
  BATON_ASSERT(phase_ == Phase::kPredicting);
  phase_ = Phase::kRequestBody;
  desk_.predicted(*placed_, made);
  rows_ = {};
  enter(replies);
  return next();
}

void ExtProc::enter(Replies& replies) {
  if (!desk_.queues()) return pick(replies);
  phase_ = Phase::kWaiting;
}

schedule::FlowControl::Item ExtProc::admission() const {
  return {.fairness_id = std::string(fairness_),
          .priority = placed_->priority,
          .bytes = static_cast<std::int64_t>(body_.size()),
          .slo_ttft = slo_ttft_};
}

RequestLabels ExtProc::labels() const {
  const auto& series = *placed_->series;
  return {series.model, series.target, series.fairness};
}

ExtProc::Next ExtProc::admitted(schedule::Outcome outcome, Replies& replies) {
  BATON_ASSERT(phase_ == Phase::kWaiting);
  phase_ = Phase::kRequestBody;
  if (outcome == schedule::Outcome::kDispatched) {
    pick(replies);
  } else {
    refuse(refusal_of(outcome), replies);
  }
  return next();
}

void ExtProc::pick(Replies& replies) {
  if (const auto refused = desk_.pick(asked(), *placed_)) return refuse(*refused, replies);
  orchestration_.set("baton.decode", placed_->destination);
  for (const auto& [name, value] : placed_->headers) {
    if (name == schedule::kPrefillHeader) orchestration_.set("baton.prefill", value);
  }
  orchestration_.end();
  if (body_known_ == Body::kKnown) {
    send_placed(replies);
    return placed(replies);
  }
  const Pick pick{.destination = placed_->destination, .scores = placed_->scores};
  replies.push_back(headers_reply(Side::kRequest, changes(false), &pick));
}

// The whole request has been answered.
void ExtProc::placed(Replies& replies) {
  phase_ = Phase::kPlaced;
  auto& series = *placed_->series;
  series.requests.each([](observe::Counter& c) { c.add(); });
  observe_in(series.request_bytes, static_cast<double>(request_bytes_));
  if (!placed_->model.empty()) {
    running_ = true;
    series.running.each([](observe::Gauge& g) { g.add(1); });
  }
  desk_.metrics().request_processed(desk_.now() - received_);
  if (sends_trailers_) replies.push_back(trailers_reply(Side::kRequest));
}

Changes ExtProc::changes(bool with_length) const {
  Changes out;
  if (placed_) {
    out.set.emplace_back(kDestination, placed_->destination);
    for (const auto& [name, value] : placed_->headers) out.set.emplace_back(name, value);
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

void ExtProc::send_placed(Replies& replies) {
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
    replies.push_back(streamed_reply(Side::kRequest, piece, rest.empty() && !trailers_));
  } while (!rest.empty());
}

// The whole body in place of its last piece; before trailers, when no piece of it is left to
// answer, it cannot be sent any more.
void ExtProc::send_streamed_body(Replies& replies) {
  const auto bad_request = [&](std::string message) {
    refuse({.status = 400, .code = "BadRequest", .message = std::move(message)}, replies);
  };
  const auto changed = desk_.clean(path_, body_);
  if (!changed) return bad_request(std::string(changed.error().message()));
  if (trailers_) {
    if (body_.empty()) return;
    return bad_request("a body with trailers needs request_body_mode FULL_DUPLEX_STREAMED");
  }
  replies.push_back(*changed || cleared_
                        ? replaced_body_reply(Side::kRequest, body_, nullptr, nullptr)
                        : body_reply(Side::kRequest, nullptr, nullptr));
}

void ExtProc::refuse(const Refusal& refusal, Replies& replies) {
  using Reason = std::pair<std::string_view, std::string_view>;
  std::optional<Reason> reason;
  if (!refusal.reason.empty()) reason = Reason(kDroppedReason, refusal.reason);
  replies.push_back(immediate_reply(
      refusal.status, fmt::format("inference error: {} - {}", refusal.code, refusal.message),
      reason));
  orchestration_.fail(refusal.message);
  orchestration_.end();
  span_.fail(refusal.message);
  span_.end();
  auto& metrics = desk_.metrics();
  metrics.failed(placed_ ? *placed_->series : metrics.series("", "", fairness_), refusal.code);
  metrics.request_processed(desk_.now() - received_);
  phase_ = Phase::kDone;
  body_ = {};
}

void ExtProc::evict(const schedule::Demand& demand, Replies& replies) {
  if (over()) return;
  replies.push_back(immediate_reply(429, "request evicted by flow control",
                                    std::pair(kDroppedReason, std::string_view("evicted"))));
  span_.fail("evicted");
  finish(Whole::kNo);
  desk_.evicted(*placed_, request_id_, demand);
}

void ExtProc::on_trailers(Side side, Replies& replies) {
  if (side == Side::kRequest) {
    sends_trailers_ = phase_ == Phase::kRequestBody;
    if (sends_trailers_) return on_request_end(true, replies);
    replies.push_back(trailers_reply(side));
    return;
  }
  if (phase_ != Phase::kAnswer) return;
  if (holding_ && !held_.empty()) {
    release_answer(false, replies);
    report(replies.back());
    replies.push_back(trailers_reply(side));
  } else {
    report(replies.emplace_back(trailers_reply(side)));
  }
  finish(Whole::kYes);
}

}  // namespace baton::epp
