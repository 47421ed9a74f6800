// What parses must read the same after being written.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/text/yaml.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace yaml = baton::text::yaml;
  namespace json = baton::text::json;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto documents = yaml::parse_all(text, "fuzz.yaml");
  if (!documents) return 0;
  for (const auto& document : *documents) {
    const auto as_json = json::parse(json::dump(document.value));
    if (!as_json || as_json->is_null()) continue;  // infinity is null, and that an empty document
    const auto again = yaml::parse(yaml::dump(*as_json), "again.yaml");
    if (!again || !(*again == *as_json)) std::abort();
  }
  return 0;
}
