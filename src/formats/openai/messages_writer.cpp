#include "formats/openai/messages_writer.hpp"

#include <fmt/format.h>

#include <iterator>

namespace baton::openai {
namespace {

using text::json::append_quoted;
using text::json::Object;

std::string_view stop_reason(const Ending& ending) {
  if (ending.finish_reason == "length") return "max_tokens";
  return std::holds_alternative<std::string>(ending.stop_reason) ? "stop_sequence" : "end_turn";
}

// "stop_reason":…,"stop_sequence":…
void append_stop(std::string& out, const Ending& ending) {
  fmt::format_to(std::back_inserter(out), R"("stop_reason":"{}","stop_sequence":)",
                 stop_reason(ending));
  if (const auto* text = std::get_if<std::string>(&ending.stop_reason)) {
    append_quoted(out, *text);
  } else {
    out += "null";
  }
}

void append_tokens(std::string& out, const Usage& u) {
  fmt::format_to(std::back_inserter(out), R"({{"input_tokens":{},"output_tokens":{})", u.prompt,
                 u.completion);
  if (u.cached)
    fmt::format_to(std::back_inserter(out), R"(,"cache_read_input_tokens":{})", *u.cached);
  out += '}';
}

// {"id":…,"type":"message","role":"assistant","model":…,
void append_message(std::string& out, const AnswerHead& head) {
  out += "{\"id\":";
  append_quoted(out, head.id);
  out += R"(,"type":"message","role":"assistant","model":)";
  append_quoted(out, head.model);
  out += ',';
}

// The names of docs.anthropic.com/en/api/errors.
std::string_view error_kind(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

}  // namespace

std::string messages_error(const ErrorBody& error) {
  return text::json::dump(
      Object{{"type", "error"},
             {"error", Object{{"type", error_kind(error.status)}, {"message", error.message}}}});
}

std::string MessagesWriter::whole(const Answer& answer) const {
  const Choice& choice = answer.choices.front();
  std::string out;
  append_message(out, head_);
  out += R"("content":[{"type":"text","text":)";
  append_quoted(out, choice.text);
  out += "}],";
  append_stop(out, choice.ending);
  out += R"(,"usage":)";
  append_tokens(out, answer.usage);
  if (!answer.kv_transfer_params.is_null()) {
    out += R"(,"kv_transfer_params":)";
    text::json::append(out, answer.kv_transfer_params);
  }
  out += '}';
  return out;
}

void MessagesWriter::begin(std::string& out, const Usage& usage) {
  out += "event: message_start\ndata: {\"type\":\"message_start\",\"message\":";
  append_message(out, head_);
  out += R"("content":[],"stop_reason":null,"stop_sequence":null,"usage":)";
  append_tokens(out, usage);
  out += "}}\n\n";
  out +=
      "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
      "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
}

void MessagesWriter::piece(std::string& out, const Piece& p) {
  if (p.ending != nullptr) ending_ = *p.ending;
  if (p.text.empty()) return;
  out +=
      "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
      "\"delta\":{\"type\":\"text_delta\",\"text\":";
  append_quoted(out, p.text);
  out += "}}\n\n";
}

void MessagesWriter::end(std::string& out, const Usage& usage) {
  out +=
      "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
      "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{";
  append_stop(out, ending_);
  out += "},\"usage\":";
  append_tokens(out, usage);
  out += "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
}

void MessagesWriter::error(std::string& out, const ErrorBody& error) {
  fmt::format_to(std::back_inserter(out), "event: error\ndata: {}\n\n", messages_error(error));
}

}  // namespace baton::openai
