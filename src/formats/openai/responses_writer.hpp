#pragma once
// Answers of OpenAI's Responses API: one message with one part of text.

#include "formats/openai/answer_writer.hpp"

namespace baton::openai {

class ResponsesWriter final : public AnswerWriter {
 public:
  explicit ResponsesWriter(AnswerHead head) : head_(std::move(head)) {}

  std::string whole(const Answer& answer) const override;
  void begin(std::string& out, const Usage& usage) override;
  void piece(std::string& out, const Piece& piece) override;
  void end(std::string& out, const Usage& usage) override;
  void error(std::string& out, const ErrorBody& error) override;

 private:
  // `choice` and `usage`: null while it is in progress.
  text::json::Object response(const Choice* choice, const Usage* usage) const;
  text::json::Object message(const Choice* choice) const;
  void event(std::string& out, std::string_view type, text::json::Object members);

  const AnswerHead head_;
  // Of the stream.
  std::uint64_t sequence_ = 0;
  Choice choice_;
};

}  // namespace baton::openai
