// The answer of an ext_proc stream: what passes through, what is read on the way, what it counts
// as.

#include <algorithm>

#include "base/core/log.hpp"
#include "base/text/json.hpp"
#include "routing/epp/ext_proc.hpp"

namespace baton::epp {
namespace {

std::size_t replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::size_t count = 0;
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
    ++count;
  }
  return count;
}

}  // namespace

void ExtProc::on_response_headers(const Message& message, Replies& replies) {
  if (phase_ == Phase::kAnswer) return;
  phase_ = Phase::kAnswer;
  const auto& headers = message.headers;
  const auto status = find(headers, ":status").value_or(find(headers, "status").value_or("200"));
  model_error_ = status != "200";
  span_.set("http.response.status_code", status);
  if (status.starts_with('5')) span_.fail("the engine answered an error");
  const auto type = find(headers, "content-type");
  event_stream_ = (placed_ && placed_->stream) ||
                  type.value_or("").find("text/event-stream") != std::string_view::npos;
  holding_ = placed_ && !event_stream_ && response_mode_ == BodyMode::kFullDuplex;
  if (placed_ && placed_->api == openai::Api::kSglang) {
    usage_ =
        pick::UsageScan(event_stream_ ? pick::Report::kMetaInfoOfLast : pick::Report::kMetaInfo);
  }
  if (placed_ && placed_->api == openai::Api::kGenerate) {
    const auto reader = claim(desk_.setup().parsers, path_);
    if (reader && reader->wrapping == Wrapping::kVllmGrpc) grpc_usage_.emplace();
  }
  if (placed_ && status.starts_with('2')) {
    desk_.answered(*placed_, pick::used_prefill(find(headers, "x-baton-prefill")));
    if (placed_->api == openai::Api::kChat || placed_->api == openai::Api::kCompletion) {
      learner_.emplace(*placed_->api, pick::answer_form(type),
                       placed_->chain ? &*placed_->chain : nullptr);
    }
  }
  Changes told;
  told.set.emplace_back("x-went-into-resp-headers", "true");
  if (placed_) {
    for (const auto& [name, value] : placed_->picked.answer_headers) {
      told.set.emplace_back(name, value);
    }
  }
  if (desk_.setup().verifies_served) {
    const auto served =
        metadata_text(message.metadata, "envoy.lb", "x-gateway-destination-endpoint-served");
    told.set.emplace_back("x-conformance-test-served-endpoint",
                          served.value_or("fail: the proxy does not tell which endpoint served"));
  }
  replies.push_back(headers_reply(Side::kResponse, told, nullptr));
  if (message.end_of_stream) finish(Whole::kYes);
}

// Usage, tokens, what the pod now holds, times.
void ExtProc::inspect(std::string_view piece) {
  const auto now = desk_.now();
  response_bytes_ += piece.size();
  if (!first_piece_) {
    first_piece_ = now;
    if (placed_) placed_->picked.decode.release_tokens();  // the prompt is computed
  } else if (event_stream_ && placed_) {
    observe_in(placed_->series->stream_gap, seconds(now - *last_piece_));
  }
  last_piece_ = now;
  if (!placed_) return;
  if (!model_error_) desk_.piece(*placed_);
  grpc_usage_ ? grpc_usage_->feed(piece) : usage_.feed(piece);
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
  if (last) {
    if (!replies.empty()) report(replies.back());
    finish(Whole::kYes);
  }
  desk_.metrics().response_processed(desk_.now() - started);
}

// What the configuration wants the proxy to know of the usage, with the last piece of an answer.
void ExtProc::report(Reply& last) const {
  const auto& setup = desk_.setup();
  if (!placed_ || setup.reports.empty()) return;
  const auto& usage = grpc_usage_ ? grpc_usage_->usage() : usage_.usage();
  schedule::TokenCounts counts{.prompt = usage.prompt,
                               .completion = usage.completion,
                               .total = usage.total,
                               .cached = usage.cached};
  if (!counts.total && usage.prompt && usage.completion) {
    counts.total = *usage.prompt + *usage.completion;
  }
  std::vector<Fact> facts;
  for (const auto& each : setup.reports) {
    const auto value = schedule::reported(each, counts);
    if (value) facts.push_back({each.ns, each.key, static_cast<double>(*value)});
  }
  tell(last, facts);
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
  const auto& usage = grpc_usage_ ? grpc_usage_->usage() : usage_.usage();
  const auto count = [](const Spread& spread, std::optional<std::uint64_t> value) {
    if (value && *value > 0) observe_in(spread, static_cast<double>(*value));
  };
  count(series.input_tokens, usage.prompt);
  count(series.output_tokens, usage.completion);
  if (usage.cached) observe_in(series.cached_tokens, static_cast<double>(*usage.cached));
  if (usage.prompt && !model_error_) desk_.reported(*placed_, usage.cached);
  observe_in(series.response_bytes, static_cast<double>(response_bytes_));
  desk_.served(*placed_, fairness_, usage.prompt.value_or(0), usage.completion.value_or(0));
  if (whole == Whole::kYes && (grpc_usage_ ? grpc_usage_->unread() : usage_.unread())) {
    desk_.metrics().usage_unread();
    log::warn("the tokens of an answer cannot be read, so they are not counted",
              {{"request", request_id_}, {"path", path_}});
  }
  if (whole == Whole::kNo || model_error_) return;
  desk_.whole(*placed_, usage.completion);
  const auto took = seconds(desk_.now() - received_);
  observe_in(series.duration, took);
  const auto tokens = static_cast<double>(usage.completion.value_or(0));
  if (tokens > 0) observe_in(series.per_output_token, took / tokens);
  if (tokens > 1 && event_stream_ && last_piece_) {
    observe_in(series.stream_token, seconds(*last_piece_ - *first_piece_) / (tokens - 1));
  }
}

}  // namespace baton::epp
