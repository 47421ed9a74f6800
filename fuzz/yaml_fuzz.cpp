// What parses must read the same after being written, and a place in it stands within it.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text/yaml.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace yaml = baton::text::yaml;
  namespace json = baton::text::json;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto documents = yaml::parse_all(text, "fuzz.yaml");
  if (!documents) return 0;
  const auto lines = static_cast<int>(size) + 1;  // YAML knows more breaks than '\n'
  for (const auto& document : *documents) {
    std::string pointer;  // the first member of the first member, and so on
    const json::Value* at = &document.value;
    for (int depth = 0; depth < 8 && at->is_object(); ++depth) {
      const auto first = at->if_object()->begin();
      if (first == at->if_object()->end()) break;
      pointer = json::pointer(pointer, first->key);
      const int line = yaml::line_of(text, document.line, pointer);
      if (line < 1 || line > lines) std::abort();
      at = &first->value;
    }
    const auto as_json = json::parse(json::dump(document.value));
    if (!as_json || as_json->is_null()) continue;  // infinity is null, and that an empty document
    const auto again = yaml::parse(yaml::dump(*as_json), "again.yaml");
    if (!again || !(*again == *as_json)) std::abort();
  }
  return 0;
}
