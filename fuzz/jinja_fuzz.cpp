// Chat templates from outside: compiling and rendering end, whatever the text is.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/text/jinja.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace baton::text;
  const auto compiled = jinja::Template::compile({reinterpret_cast<const char*>(data), size});
  if (!compiled) return 0;
  static const json::Object context = {
      {"messages", json::Array{json::Object{{"role", "user"}, {"content", "h\u00e9llo"}}}},
      {"add_generation_prompt", true},
      {"n", 7},
      {"f", 2.5},
      {"l", json::Array{3, 1, 2, nullptr}}};
  static_cast<void>(compiled->render(context, {}));
  return 0;
}
