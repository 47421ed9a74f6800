#include "formats/openai/generate_writer.hpp"

#include <fmt/format.h>

#include <iterator>

namespace baton::openai {
namespace {

void append_choice(std::string& out, const Piece& p) {
  fmt::format_to(std::back_inserter(out), R"({{"index":{},"logprobs":)", p.index);
  if (p.logprobs) {
    out += "{\"content\":";
    append_token_list(out, *p.logprobs);
    out += '}';
  } else {
    out += "null";
  }
  if (p.ending != nullptr) {
    fmt::format_to(std::back_inserter(out), R"(,"finish_reason":"{}")", p.ending->finish_reason);
  } else {
    out += R"(,"finish_reason":null)";
  }
  out += R"(,"token_ids":)";
  append_ids(out, p.ids);
  out += '}';
}

}  // namespace

GenerateWriter::GenerateWriter(const AnswerHead& head, StreamForm form)
    : form_(form), start_(R"({"request_id":)") {
  text::json::append_quoted(start_, head.id);
  start_ += R"(,"choices":[)";
}

std::string GenerateWriter::whole(const Answer& answer) const {
  std::string out = start_;
  for (std::size_t i = 0; i < answer.choices.size(); ++i) {
    const Choice& choice = answer.choices[i];
    Piece piece{.index = i, .ending = &choice.ending};
    if (choice.logprobs) piece.logprobs = *choice.logprobs;
    if (choice.ids) piece.ids = *choice.ids;
    if (i > 0) out += ',';
    append_choice(out, piece);
  }
  out += R"(],"prompt_logprobs":)";
  append_prompt_logprobs(out, answer.choices.front().prompt_logprobs);
  out += R"(,"kv_transfer_params":)";
  text::json::append(out, answer.kv_transfer_params);
  out += R"(,"usage":)";
  append_usage(out, answer.usage, Nulls::kWritten);
  out += '}';
  return out;
}

void GenerateWriter::begin(std::string& /*out*/, const Usage& /*usage*/) {}

void GenerateWriter::piece(std::string& out, const Piece& p) {
  out += "data: ";
  out += start_;
  append_choice(out, p);
  out += ']';
  if (p.usage != nullptr) {
    out += R"(,"usage":)";
    append_usage(out, *p.usage, Nulls::kLeftOut);
  }
  out += "}\n\n";
}

void GenerateWriter::end(std::string& out, const Usage& usage) {
  if (form_.include_usage) {
    out += "data: ";
    out += start_;
    out += R"(],"usage":)";
    append_usage(out, usage, Nulls::kLeftOut);
    out += "}\n\n";
  }
  out += "data: [DONE]\n\n";
}

void GenerateWriter::error(std::string& out, const ErrorBody& error) {
  fmt::format_to(std::back_inserter(out), "data: {}\n\ndata: [DONE]\n\n", to_json(error));
}

}  // namespace baton::openai
