// Bodies of requests: whatever they are, a request within the bounds or a 400 that says why.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/openai/completion_request.hpp"
#include "formats/openai/generate_request.hpp"
#include "formats/openai/messages_request.hpp"
#include "formats/openai/responses_request.hpp"

namespace {

namespace openai = baton::openai;

void check(bool holds) {
  if (!holds) std::abort();
}

template <class Request>
void refused_well(const openai::Decoded<Request>& request) {
  if (!request) check(request.error().status == 400 && !request.error().message.empty());
}

template <class Request>
void sampled_well(const openai::Decoded<Request>& request) {
  refused_well(request);
  if (!request) return;
  const openai::Sampling& s = request->sampling;
  check(s.n >= 1 && s.n <= openai::kMaxChoices);
  check(s.logit_bias.size() <= openai::kMaxBiases && s.bad_words.size() <= openai::kMaxBadWords);
  for (const auto& [token, bias] : s.logit_bias) check(bias >= -100 && bias <= 100);
  for (const auto& word : s.bad_words) check(word.find_first_not_of(' ') != std::string::npos);
  check(!s.prompt_logprobs || !request->delivery.stream);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  sampled_well(openai::decode_chat(body));
  sampled_well(openai::decode_completion(body));
  sampled_well(openai::decode_generate(body));
  sampled_well(openai::decode_messages(body, openai::MessagesUse::kAnswer));
  sampled_well(openai::decode_responses(body));
  refused_well(openai::decode_tokenize(body));
  refused_well(openai::decode_detokenize(body));
  return 0;
}
