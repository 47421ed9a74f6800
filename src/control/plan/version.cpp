#include "control/plan/version.hpp"

#include <fmt/format.h>

#include <charconv>
#include <iterator>

namespace baton::plan {

Result<Version> parse_version(std::string_view text) {
  Version out;
  if (text.empty()) return out;
  std::string_view rest = text.substr(text.starts_with('v') ? 1 : 0);
  rest = rest.substr(0, rest.find_first_of("-+"));
  int* const parts[] = {&out.major, &out.minor, &out.patch};
  for (std::size_t i = 0; i < std::size(parts); ++i) {
    const auto [end, ec] = std::from_chars(rest.data(), rest.data() + rest.size(), *parts[i]);
    const bool last = i + 1 == std::size(parts);
    const bool dotted = end != rest.data() + rest.size() && *end == '.';
    if (ec != std::errc() || *parts[i] < 0 || (last ? end != rest.data() + rest.size() : !dotted)) {
      return invalid(fmt::format("expected a version such as 0.10.0, is '{}'", text));
    }
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()) + (last ? 0 : 1));
  }
  return out;
}

}  // namespace baton::plan
