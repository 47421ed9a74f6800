#include "formats/api/names.hpp"

#include <algorithm>

namespace baton::api {
namespace {

constexpr std::size_t kLongestName = 63;       // a DNS label
constexpr std::size_t kLongestLongName = 253;  // a DNS subdomain, a key

bool is_small_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

bool is_dns_label(std::string_view text) {
  if (text.empty() || text.size() > kLongestName) return false;
  return is_small_or_digit(text.front()) && is_small_or_digit(text.back()) &&
         std::ranges::all_of(text, [](char c) { return is_small_or_digit(c) || c == '-'; });
}

bool is_dns_subdomain(std::string_view text) {
  if (text.empty() || text.size() > kLongestLongName) return false;
  while (true) {
    const std::size_t dot = text.find('.');
    if (!is_dns_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_data_key(std::string_view text) {
  if (text.empty() || text.size() > kLongestLongName) return false;
  if (text == "." || text.starts_with("..")) return false;
  return std::ranges::all_of(text, [](char c) {
    return is_small_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';
  });
}

bool is_path_segment(std::string_view text) {
  // A NUL would end the path there.
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  return !text.empty() && text != "." && text != ".." && std::ranges::none_of(text, is_control) &&
         text.find_first_of("/%") == std::string_view::npos;
}

}  // namespace baton::api
