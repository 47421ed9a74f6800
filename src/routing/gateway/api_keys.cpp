#include "routing/gateway/api_keys.hpp"

#include <fmt/format.h>

#include "base/core/trim.hpp"
#include "net/http/message.hpp"

namespace baton::gateway {
namespace {

constexpr std::string_view kBlank = " \t\r";

constexpr std::string_view kScheme = "Bearer ";

bool equal(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(other);
  }
  return difference == 0;
}

}  // namespace

bool authorized(std::string_view authorization, const std::vector<std::string>& keys) {
  if (authorization.size() < kScheme.size() ||
      !http::equal_names(authorization.substr(0, kScheme.size()), kScheme)) {
    return false;
  }
  const auto given = trim(authorization.substr(kScheme.size()), kBlank);
  bool found = false;
  for (const auto& key : keys) found = equal(given, key) || found;
  return found;
}

Result<std::vector<std::string>> read_api_keys(std::string_view text, std::string_view source) {
  std::vector<std::string> keys;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = trim(text.substr(0, end), kBlank);
    if (!line.empty() && line.front() != '#') keys.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (keys.empty()) return invalid(fmt::format("{}: no API key in it (one a line)", source));
  return keys;
}

}  // namespace baton::gateway
