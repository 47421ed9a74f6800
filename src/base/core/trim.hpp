#pragma once
// Text without the blanks at its ends. Pure.

#include <string_view>

namespace baton {

// Spaces and tabs are what RFC 9110 (5.6.3) calls optional whitespace; other formats name their
// own.
inline std::string_view trim(std::string_view text, std::string_view blanks = " \t") {
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

}  // namespace baton
