// Rendering any text against a small document: an answer or an error, never a crash or a hang.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/text/go_template.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using baton::text::json::Array;
  using baton::text::json::Object;
  using baton::text::json::Value;
  static const Value kDocument = Object{
      {"name", "n"}, {"spec", Object{{"items", Array{1, "x"}}, {"unset", nullptr}, {"yes", true}}}};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes as text
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)baton::text::go_template::render(text, kDocument);
  return 0;
}
