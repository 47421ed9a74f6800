#include "formats/openai/decoded_path.hpp"

#include <charconv>

namespace baton::openai {

std::string_view decoded_path(std::string_view target, std::string& decoded) {
  const auto path = target.substr(0, target.find_first_of("?#"));
  if (path.find('%') == std::string_view::npos) return path;
  decoded.clear();
  for (std::size_t at = 0; at < path.size(); ++at) {
    unsigned char byte = 0;
    const auto digits = path.substr(at + 1, 2);
    const auto* const end = digits.data() + digits.size();
    const bool escape = path[at] == '%' && digits.size() == 2 &&
                        std::from_chars(digits.data(), end, byte, 16).ptr == end;
    decoded += escape ? static_cast<char>(byte) : path[at];
    if (escape) at += 2;
  }
  return decoded;
}

}  // namespace baton::openai
