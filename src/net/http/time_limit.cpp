#include "net/http/time_limit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace baton::http {

Result<std::optional<Nanos>> time_limit(const Headers& headers, std::string_view name,
                                        Nanos longest) {
  auto text = headers.get(name);
  if (!text) return std::optional<Nanos>();
  std::uint64_t count = 0;
  auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), count);
  bool number = end == text->data() + text->size() && failed != std::errc::invalid_argument;
  if (!number || (failed == std::errc() && count == 0)) {
    return invalid(fmt::format("{}: '{}' is not a positive number of milliseconds", name, *text));
  }
  auto most = static_cast<std::uint64_t>(std::chrono::duration_cast<Millis>(longest).count());
  if (failed != std::errc() || count >= most) return std::optional(longest);
  return std::optional<Nanos>(Millis(static_cast<std::int64_t>(count)));
}

void set_time_limit(Headers& headers, std::string_view name, Nanos left) {
  headers.set(name, std::to_string(std::max<std::int64_t>(
                        std::chrono::duration_cast<Millis>(left).count(), 1)));
}

}  // namespace baton::http
