// What parses must survive a round trip through the writer.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/text/json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace json = baton::text::json;
  const auto value = json::parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!value) return 0;
  const std::string written = json::dump(*value);
  const auto again = json::parse(written);
  if (!again || json::dump(*again) != written) std::abort();
  return 0;
}
