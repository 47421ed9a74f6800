#include "formats/openai/answer_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "formats/openai/generate_writer.hpp"
#include "formats/openai/messages_writer.hpp"
#include "formats/openai/response_writer.hpp"
#include "formats/openai/responses_writer.hpp"

namespace baton::openai {
namespace {

using text::json::append_quoted;

constexpr float kLowest = -9999.0F;  // JSON has no -inf

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

}  // namespace

void append_logprob(std::string& out, float logprob) {
  fmt::format_to(std::back_inserter(out), "{}", std::max(logprob, kLowest));
}

void append_token_list(std::string& out, std::span<const TokenLikely> tokens) {
  out += '[';
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
  out += ']';
}

void append_prompt_logprobs(std::string& out,
                            const std::optional<std::vector<TokenLikely>>& tokens) {
  if (!tokens) {
    out += "null";
    return;
  }
  const auto one = [&](const Likely& likely) {
    fmt::format_to(std::back_inserter(out), R"("{}":{{"logprob":{},"rank":{},"decoded_token":)",
                   likely.id, std::max(likely.logprob, kLowest), likely.rank);
    append_quoted(out, likely.token);
    out += '}';
  };
  out += '[';
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    if (i > 0) out += ',';
    const TokenLikely& token = (*tokens)[i];
    if (!token.is_known) {
      out += "null";
      continue;
    }
    out += '{';
    one(token.chosen);
    for (const Likely& other : token.top) {
      if (other.id == token.chosen.id) continue;
      out += ',';
      one(other);
    }
    out += '}';
  }
  out += ']';
}

void append_ids(std::string& out, std::optional<Ids> ids) {
  if (!ids) {
    out += "null";
    return;
  }
  out += '[';
  for (std::size_t i = 0; i < ids->size(); ++i) {
    fmt::format_to(std::back_inserter(out), "{}{}", i == 0 ? "" : ",", (*ids)[i]);
  }
  out += ']';
}

void append_usage(std::string& out, const Usage& u, Nulls nulls) {
  fmt::format_to(std::back_inserter(out),
                 R"({{"prompt_tokens":{},"total_tokens":{},"completion_tokens":{})", u.prompt,
                 u.prompt + u.completion, u.completion);
  if (u.cached) {
    fmt::format_to(std::back_inserter(out), R"(,"prompt_tokens_details":{{"cached_tokens":{}}})",
                   *u.cached);
  } else if (nulls == Nulls::kWritten) {
    out += R"(,"prompt_tokens_details":null)";
  }
  out += '}';
}

std::unique_ptr<AnswerWriter> make_writer(AnswerHead head, StreamForm form) {
  switch (head.endpoint) {
    case Endpoint::kChat:
    case Endpoint::kCompletions:
      return std::make_unique<ResponseWriter>(head, form);
    case Endpoint::kGenerate:
      return std::make_unique<GenerateWriter>(head, form);
    case Endpoint::kMessages:
      return std::make_unique<MessagesWriter>(std::move(head));
    case Endpoint::kResponses:
      return std::make_unique<ResponsesWriter>(std::move(head));
  }
  return nullptr;
}

std::string error_text(Endpoint endpoint, const ErrorBody& error) {
  return endpoint == Endpoint::kMessages ? messages_error(error) : to_json(error);
}

}  // namespace baton::openai
