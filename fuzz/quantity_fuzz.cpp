// Kubernetes quantities of any text: a number or an error; whole units mean themselves.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "formats/api/quantity.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using baton::text::json::Value;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes as text
  const auto value =
      baton::api::quantity(Value(std::string(reinterpret_cast<const char*>(data), size)));
  if (!value) return 0;
  const auto as_text = baton::api::quantity(Value(std::to_string(*value)));
  const auto as_number = baton::api::quantity(Value(*value));
  if (!as_text || !as_number || *as_text != *value || *as_number != *value) std::abort();
  return 0;
}
