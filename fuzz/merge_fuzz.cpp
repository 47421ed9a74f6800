// Two specs of any content, as YAML documents, merged: it ends, and nothing laid over one leaves it
// as it is.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/text/yaml.hpp"
#include "control/plan/merge.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using baton::plan::merge;
  namespace json = baton::text::json;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes as text
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto documents = baton::text::yaml::parse_all(text, "fuzz.yaml");
  if (!documents || documents->size() < 2) return 0;
  const auto& base = (*documents)[0].value;
  const auto both = merge(base, (*documents)[1].value);
  if (!(merge(both, json::Value()) == both)) std::abort();
  if (both.is_object() && !(merge(both, json::Value(json::Object())) == both)) std::abort();
  return 0;
}
