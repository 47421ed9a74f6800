#pragma once
// Answers of Anthropic's Messages API (version 2023-06-01): one block of text.

#include "formats/openai/answer_writer.hpp"

namespace baton::openai {

class MessagesWriter final : public AnswerWriter {
 public:
  explicit MessagesWriter(AnswerHead head) : head_(std::move(head)) {}

  std::string whole(const Answer& answer) const override;
  void begin(std::string& out, const Usage& usage) override;
  void piece(std::string& out, const Piece& piece) override;
  void end(std::string& out, const Usage& usage) override;
  void error(std::string& out, const ErrorBody& error) override;

 private:
  const AnswerHead head_;
  Ending ending_;  // of the stream
};

// {"type":"error","error":{"type":…,"message":…}}
std::string messages_error(const ErrorBody& error);

}  // namespace baton::openai
