// Request bodies: the reader never changes one, and finds a model only in what is an object.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text/json.hpp"
#include "formats/openai/prompt_text.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace baton;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  openai::PromptReader reader;
  for (const auto api : {openai::Api::kChat, openai::Api::kCompletion}) {
    std::string body(text);
    const auto prompt = reader.read(body, api);
    if (body != text) std::abort();
    if (!prompt) continue;
    const auto parsed = text::json::parse(text);
    if (parsed && !parsed->is_object()) std::abort();
  }
  return 0;
}
