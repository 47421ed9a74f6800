#pragma once
// Chat and text completions as vLLM writes them.

#include "formats/openai/answer_writer.hpp"

namespace baton::openai {

class ResponseWriter final : public AnswerWriter {
 public:
  ResponseWriter(const AnswerHead& head, StreamForm form);

  std::string whole(const Answer& answer) const override;
  void begin(std::string& out, const Usage& usage) override;
  void piece(std::string& out, const Piece& piece) override;
  void end(std::string& out, const Usage& usage) override;
  void error(std::string& out, const ErrorBody& error) override;

 private:
  bool is_chat() const { return head_.endpoint == Endpoint::kChat; }
  void choice(std::string& out, std::size_t index, const Choice& choice) const;
  static void append_prompt(std::string& out, const Choice& choice);

  const AnswerHead head_;
  const StreamForm form_;
  std::string start_;  // data: {"id":…,"choices":[
};

}  // namespace baton::openai
