// A tokenizer.json from outside: loading ends, and what loads encodes and decodes.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "formats/token/tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace baton::token;
  const auto tokenizer = Tokenizer::parse({reinterpret_cast<const char*>(data), size});
  if (!tokenizer) return 0;
  const auto ids =
      (*tokenizer)->encode("Hello  w\u00f6rld <|end|> 123\n\n\u4e16", AddSpecial::kYes);
  if (ids) static_cast<void>((*tokenizer)->decode(*ids, SkipSpecial::kNo));
  return 0;
}
