// Answers of engines: the text does not depend on where the stream is cut.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "formats/openai/answer_text.hpp"

namespace {

using namespace baton::openai;

std::string read(std::string_view stream, std::size_t piece, AnswerForm form) {
  AnswerText answer(Api::kChat, form);
  std::string text;
  for (; !stream.empty(); stream.remove_prefix(std::min(piece, stream.size()))) {
    text += answer.feed(stream.substr(0, piece));
  }
  text += answer.finish();
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  for (const auto form : {AnswerForm::kEvents, AnswerForm::kJson}) {
    const auto whole = read(stream, size + 1, form);
    if (read(stream, 1, form) != whole || read(stream, 7, form) != whole) std::abort();
  }
  return 0;
}
