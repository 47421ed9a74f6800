#pragma once
// From the body of a request to what the engine is asked. Pure, and safe on any thread: long
// prompts go to the CPU pool.

#include <ctime>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/runtime/engine.hpp"
#include "engine/serve/served_model.hpp"
#include "formats/openai/completion_request.hpp"
#include "formats/openai/response_writer.hpp"

namespace baton::serve {

struct Prepared {
  openai::Delivery delivery;
  openai::Sampling sampling;  // as the client said it: stops and how to write the answer
  runtime::GenerateRequest request;
};

// `vocab` is the model's, `now` local time for chat templates.
openai::Decoded<Prepared> prepare(const ServedModel& model, std::size_t vocab,
                                  openai::Endpoint endpoint, std::string_view body,
                                  const std::tm& now);
openai::Decoded<std::vector<token::TokenId>> chat_tokens(const ServedModel& model,
                                                         const openai::ChatPrompt& prompt,
                                                         const std::tm& now);

// Answers the bodies of /tokenize and /detokenize.
openai::Decoded<std::string> tokenize(const ServedModel& model, std::string_view body,
                                      const std::tm& now);
openai::Decoded<std::string> detokenize(const ServedModel& model, std::string_view body);

}  // namespace baton::serve
