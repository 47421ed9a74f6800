#pragma once
// From the body of a request to what the engine is asked. Pure, and safe on any thread: long
// prompts go to the CPU pool.

#include <ctime>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/runtime/engine.hpp"
#include "engine/serve/served_model.hpp"
#include "formats/openai/answer_writer.hpp"
#include "formats/openai/completion_request.hpp"

namespace baton::serve {

struct Prepared {
  openai::Delivery delivery;
  openai::Sampling sampling;  // as the client said it: stops and how to write the answer
  std::vector<std::vector<token::TokenId>> prompts;  // not empty
  std::vector<std::string> echoes;                   // their texts, when answers begin with them
  runtime::SamplingParams params;
  kv::TransferParams transfer;  // of the only choice
  Deadline deadline = {};       // of all choices; the head of the request says it
};

// `vocab` is the model's, `now` local time for chat templates.
openai::Decoded<Prepared> prepare(const ServedModel& model, std::size_t vocab,
                                  openai::Endpoint endpoint, std::string_view body,
                                  const std::tm& now);

// Answers the bodies of /tokenize, /detokenize, /v1/messages/count_tokens and of the paths that end
// in /render: what would be sent to /inference/v1/generate.
openai::Decoded<std::string> tokenize(const ServedModel& model, std::string_view body,
                                      const std::tm& now);
openai::Decoded<std::string> detokenize(const ServedModel& model, std::string_view body);
openai::Decoded<std::string> count_tokens(const ServedModel& model, std::string_view body,
                                          const std::tm& now);
openai::Decoded<std::string> render(const ServedModel& model, std::size_t vocab,
                                    openai::Endpoint endpoint, std::string_view body,
                                    const std::tm& now);

}  // namespace baton::serve
