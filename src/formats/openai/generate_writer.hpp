#pragma once
// Answers of vLLM's /inference/v1/generate: tokens without text.

#include "formats/openai/answer_writer.hpp"

namespace baton::openai {

class GenerateWriter final : public AnswerWriter {
 public:
  // The head's id is the request's. Pieces and choices have their token ids.
  GenerateWriter(const AnswerHead& head, StreamForm form);

  std::string whole(const Answer& answer) const override;
  void begin(std::string& out, const Usage& usage) override;
  void piece(std::string& out, const Piece& piece) override;
  void end(std::string& out, const Usage& usage) override;
  void error(std::string& out, const ErrorBody& error) override;

 private:
  const StreamForm form_;
  std::string start_;  // {"request_id":…,"choices":[
};

}  // namespace baton::openai
