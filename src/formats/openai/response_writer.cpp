#include "formats/openai/response_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace baton::openai {
namespace {

using text::json::append_quoted;

constexpr float kLowest = -9999.0F;  // JSON has no -inf

void append_logprob(std::string& out, float logprob) {
  fmt::format_to(std::back_inserter(out), "{}", std::max(logprob, kLowest));
}

void append_bytes(std::string& out, std::string_view bytes) {
  out += '[';
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    fmt::format_to(std::back_inserter(out), "{}{}", i == 0 ? "" : ",",
                   static_cast<unsigned char>(bytes[i]));
  }
  out += ']';
}

void append_likely(std::string& out, const Likely& one) {
  out += "{\"token\":";
  append_quoted(out, one.token);
  out += ",\"logprob\":";
  append_logprob(out, one.logprob);
  out += ",\"bytes\":";
  append_bytes(out, one.bytes);
}

void append_chat_logprobs(std::string& out, std::span<const TokenLikely> tokens) {
  out += "{\"content\":[";
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    append_likely(out, tokens[i].chosen);
    out += ",\"top_logprobs\":[";
    for (std::size_t k = 0; k < tokens[i].top.size(); ++k) {
      if (k > 0) out += ',';
      append_likely(out, tokens[i].top[k]);
      out += '}';
    }
    out += "]}";
  }
  out += "]}";
}

template <class F>
void append_list(std::string& out, std::string_view name, std::span<const TokenLikely> tokens,
                 F&& each) {
  fmt::format_to(std::back_inserter(out), "\"{}\":[", name);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out += ',';
    each(tokens[i]);
  }
  out += ']';
}

void append_completion_logprobs(std::string& out, std::span<const TokenLikely> tokens,
                                std::size_t offset) {
  out += '{';
  append_list(out, "text_offset", tokens, [&](const TokenLikely& t) {
    fmt::format_to(std::back_inserter(out), "{}", offset);
    offset += t.chosen.token.size();
  });
  out += ',';
  append_list(out, "token_logprobs", tokens,
              [&](const TokenLikely& t) { append_logprob(out, t.chosen.logprob); });
  out += ',';
  append_list(out, "tokens", tokens,
              [&](const TokenLikely& t) { append_quoted(out, t.chosen.token); });
  out += ',';
  append_list(out, "top_logprobs", tokens, [&](const TokenLikely& t) {
    out += '{';
    for (std::size_t k = 0; k < t.top.size(); ++k) {
      if (k > 0) out += ',';
      append_quoted(out, t.top[k].token);
      out += ':';
      append_logprob(out, t.top[k].logprob);
    }
    out += '}';
  });
  out += '}';
}

void append_logprobs(std::string& out, Endpoint endpoint,
                     const std::optional<std::span<const TokenLikely>>& tokens,
                     std::size_t offset) {
  if (!tokens) {
    out += "null";
  } else if (endpoint == Endpoint::kChat) {
    append_chat_logprobs(out, *tokens);
  } else {
    append_completion_logprobs(out, *tokens, offset);
  }
}

void append_stop_reason(std::string& out, const StopReason& reason) {
  if (const auto* text = std::get_if<std::string>(&reason)) {
    append_quoted(out, *text);
  } else if (const auto* id = std::get_if<std::uint32_t>(&reason)) {
    fmt::format_to(std::back_inserter(out), "{}", *id);
  } else {
    out += "null";
  }
}

void append_usage(std::string& out, const Usage& u, bool nulls) {
  fmt::format_to(std::back_inserter(out),
                 R"({{"prompt_tokens":{},"total_tokens":{},"completion_tokens":{})", u.prompt,
                 u.prompt + u.completion, u.completion);
  if (u.cached) {
    fmt::format_to(std::back_inserter(out), R"(,"prompt_tokens_details":{{"cached_tokens":{}}})",
                   *u.cached);
  } else if (nulls) {
    out += R"(,"prompt_tokens_details":null)";
  }
  out += '}';
}

std::string_view object_name(Endpoint endpoint, bool chunk) {
  if (endpoint == Endpoint::kCompletions) return "text_completion";
  return chunk ? "chat.completion.chunk" : "chat.completion";
}

void append_head(std::string& out, const AnswerHead& head, bool chunk) {
  out += "{\"id\":";
  append_quoted(out, head.id);
  fmt::format_to(std::back_inserter(out), R"(,"object":"{}","created":{},"model":)",
                 object_name(head.endpoint, chunk), head.created);
  append_quoted(out, head.model);
  out += ",\"choices\":[";
}

}  // namespace

ChunkWriter::ChunkWriter(const AnswerHead& head) : endpoint_(head.endpoint), start_("data: ") {
  append_head(start_, head, true);
}

void ChunkWriter::role(std::string& out, const Usage* u) const {
  out += start_;
  out +=
      R"({"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}])";
  if (u != nullptr) {
    out += ",\"usage\":";
    append_usage(out, *u, false);
  }
  out += "}\n\n";
}

void ChunkWriter::piece(std::string& out, const Piece& p) const {
  out += start_;
  out +=
      endpoint_ == Endpoint::kChat ? R"({"index":0,"delta":{"content":)" : R"({"index":0,"text":)";
  append_quoted(out, p.text);
  out += endpoint_ == Endpoint::kChat ? R"(},"logprobs":)" : R"(,"logprobs":)";
  append_logprobs(out, endpoint_, p.logprobs, p.text_offset);
  out += ",\"finish_reason\":";
  if (p.ending != nullptr) {
    fmt::format_to(std::back_inserter(out), R"("{}","stop_reason":)", p.ending->finish_reason);
    append_stop_reason(out, p.ending->stop_reason);
  } else {
    out += endpoint_ == Endpoint::kChat ? "null" : R"(null,"stop_reason":null)";
  }
  if (endpoint_ == Endpoint::kCompletions) out += R"(,"prompt_token_ids":null,"token_ids":null)";
  out += "}]";
  if (p.usage != nullptr) {
    out += ",\"usage\":";
    append_usage(out, *p.usage, false);
  }
  out += "}\n\n";
}

void ChunkWriter::usage(std::string& out, const Usage& u) const {
  out += start_;
  out += "],\"usage\":";
  append_usage(out, u, false);
  out += "}\n\n";
}

void ChunkWriter::error(std::string& out, const ErrorBody& error) {
  out += "data: ";
  out += to_json(error);
  out += "\n\n";
}

std::string write_answer(const AnswerHead& head, const Answer& answer) {
  std::string out;
  out.reserve(answer.text.size() + 640);
  append_head(out, head, false);
  const bool chat = head.endpoint == Endpoint::kChat;
  out += chat ? R"({"index":0,"message":{"role":"assistant","content":)" : R"({"index":0,"text":)";
  append_quoted(out, answer.text);
  if (chat)
    out +=
        R"(,"refusal":null,"annotations":null,"audio":null,"function_call":null,"tool_calls":[],"reasoning_content":null})";
  out += ",\"logprobs\":";
  append_logprobs(out, head.endpoint, answer.logprobs, 0);
  fmt::format_to(std::back_inserter(out), R"(,"finish_reason":"{}","stop_reason":)",
                 answer.ending.finish_reason);
  append_stop_reason(out, answer.ending.stop_reason);
  out += chat ? R"(,"token_ids":null}])"
              : R"(,"token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null}])";
  out += R"(,"service_tier":null,"system_fingerprint":null,"usage":)";
  append_usage(out, answer.usage, true);
  if (chat) out += R"(,"prompt_logprobs":null,"prompt_token_ids":null)";
  out += ",\"kv_transfer_params\":";
  text::json::append(out, answer.kv_transfer_params);
  out += '}';
  return out;
}

}  // namespace baton::openai
