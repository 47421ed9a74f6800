#include "formats/openai/response_writer.hpp"

#include <fmt/format.h>

#include <iterator>

namespace baton::openai {
namespace {

using text::json::append_quoted;

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
  append_list(out, "token_logprobs", tokens, [&](const TokenLikely& t) {
    if (t.is_known) {
      append_logprob(out, t.chosen.logprob);
    } else {
      out += "null";
    }
  });
  out += ',';
  append_list(out, "tokens", tokens,
              [&](const TokenLikely& t) { append_quoted(out, t.chosen.token); });
  out += ',';
  append_list(out, "top_logprobs", tokens, [&](const TokenLikely& t) {
    if (!t.is_known) {
      out += "null";
      return;
    }
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
    out += "{\"content\":";
    append_token_list(out, *tokens);
    out += '}';
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

ResponseWriter::ResponseWriter(const AnswerHead& head, StreamForm form)
    : head_(head), form_(form), start_("data: ") {
  append_head(start_, head, true);
}

// Chat: the role of each choice.
void ResponseWriter::begin(std::string& out, const Usage& usage) {
  if (!is_chat()) return;
  for (std::size_t i = 0; i < form_.choices; ++i) {
    out += start_;
    fmt::format_to(
        std::back_inserter(out),
        R"({{"index":{},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}])",
        i);
    if (form_.prompt_ids) {
      out += ",\"prompt_token_ids\":";
      append_ids(out, form_.prompt_ids);
    }
    if (form_.continuous_usage) {
      out += ",\"usage\":";
      append_usage(out, usage, Nulls::kLeftOut);
    }
    out += "}\n\n";
  }
}

void ResponseWriter::piece(std::string& out, const Piece& p) {
  out += start_;
  fmt::format_to(std::back_inserter(out), R"({{"index":{},)", p.index);
  out += is_chat() ? R"("delta":{"content":)" : R"("text":)";
  append_quoted(out, p.text);
  out += is_chat() ? R"(},"logprobs":)" : R"(,"logprobs":)";
  append_logprobs(out, head_.endpoint, p.logprobs, p.text_offset);
  out += ",\"finish_reason\":";
  if (p.ending != nullptr) {
    fmt::format_to(std::back_inserter(out), R"("{}","stop_reason":)", p.ending->finish_reason);
    append_stop_reason(out, p.ending->stop_reason);
  } else {
    out += is_chat() ? "null" : R"(null,"stop_reason":null)";
  }
  if (!is_chat()) {
    out += R"(,"prompt_token_ids":)";
    append_ids(out, p.prompt_ids);
  }
  if (!is_chat() || p.ids) {
    out += R"(,"token_ids":)";
    append_ids(out, p.ids);
  }
  out += "}]";
  if (p.usage != nullptr) {
    out += ",\"usage\":";
    append_usage(out, *p.usage, Nulls::kLeftOut);
  }
  out += "}\n\n";
}

void ResponseWriter::end(std::string& out, const Usage& usage) {
  if (form_.include_usage) {
    out += start_;
    out += "],\"usage\":";
    append_usage(out, usage, Nulls::kLeftOut);
    out += "}\n\n";
  }
  out += "data: [DONE]\n\n";
}

void ResponseWriter::error(std::string& out, const ErrorBody& error) {
  fmt::format_to(std::back_inserter(out), "data: {}\n\ndata: [DONE]\n\n", to_json(error));
}

void ResponseWriter::choice(std::string& out, std::size_t index, const Choice& choice) const {
  fmt::format_to(std::back_inserter(out), R"({{"index":{},)", index);
  out += is_chat() ? R"("message":{"role":"assistant","content":)" : R"("text":)";
  append_quoted(out, choice.text);
  if (is_chat())
    out +=
        R"(,"refusal":null,"annotations":null,"audio":null,"function_call":null,"tool_calls":[],"reasoning_content":null})";
  out += ",\"logprobs\":";
  append_logprobs(out, head_.endpoint, choice.logprobs, 0);
  fmt::format_to(std::back_inserter(out), R"(,"finish_reason":"{}","stop_reason":)",
                 choice.ending.finish_reason);
  append_stop_reason(out, choice.ending.stop_reason);
  out += ",\"token_ids\":";
  append_ids(out, choice.ids);
  if (!is_chat()) append_prompt(out, choice);
  out += '}';
}

void ResponseWriter::append_prompt(std::string& out, const Choice& choice) {
  out += ",\"prompt_logprobs\":";
  append_prompt_logprobs(out, choice.prompt_logprobs);
  out += ",\"prompt_token_ids\":";
  append_ids(out, choice.prompt_ids);
}

std::string ResponseWriter::whole(const Answer& answer) const {
  std::string out;
  append_head(out, head_, false);
  for (std::size_t i = 0; i < answer.choices.size(); ++i) {
    if (i > 0) out += ',';
    choice(out, i, answer.choices[i]);
  }
  out += R"(],"service_tier":null,"system_fingerprint":null,"usage":)";
  append_usage(out, answer.usage, Nulls::kWritten);
  if (is_chat()) append_prompt(out, answer.choices.front());
  out += ",\"kv_transfer_params\":";
  text::json::append(out, answer.kv_transfer_params);
  out += '}';
  return out;
}

}  // namespace baton::openai
