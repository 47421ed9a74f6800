#include "net/otlp/resource.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/core/trim.hpp"

namespace baton::otlp {

namespace {

std::optional<std::string> decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned char byte = 0;
    const auto digits = text.substr(i + 1, 2);
    const auto [end, failed] =
        std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (failed != std::errc() || end != digits.data() + 2) return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

}  // namespace

Result<Attributes> parse_pairs(std::string_view text) {
  Attributes out;
  while (!text.empty()) {
    const auto end = std::min(text.find(','), text.size());
    const auto member = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (member.empty()) continue;
    const auto equals = member.find('=');
    if (equals == std::string_view::npos || trim(member.substr(0, equals)).empty()) {
      return invalid(fmt::format("member {} is not key=value", out.size() + 1));
    }
    auto key = decode(trim(member.substr(0, equals)));
    auto value = decode(trim(member.substr(equals + 1)));
    if (!key || !value) {
      return invalid(fmt::format("member {} has a '%' without two hex digits", out.size() + 1));
    }
    if (out.size() == kMaxPairs) return invalid(fmt::format("more than {} members", kMaxPairs));
    const auto known = std::ranges::find(out, *key, &Attributes::value_type::first);
    if (known != out.end()) {
      known->second = *std::move(value);
    } else {
      out.emplace_back(*std::move(key), *std::move(value));
    }
  }
  return out;
}

}  // namespace baton::otlp
