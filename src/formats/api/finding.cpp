#include "formats/api/finding.hpp"

#include <algorithm>

namespace baton::api {
namespace {

bool holds_keys(std::string_view name) {
  return name == "annotations" || name == "labels" || name == "matchLabels" ||
         name == "nodeSelector";
}

// ~1 is '/', ~0 is '~' (RFC 6901 3).
std::string unescaped(std::string_view segment) {
  std::string out;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    const bool escape = segment[i] == '~' && i + 1 < segment.size();
    out += escape ? (segment[++i] == '1' ? '/' : '~') : segment[i];
  }
  return out;
}

}  // namespace

std::string field_path(std::string_view pointer) {
  std::string out;
  bool in_map = false;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const std::size_t slash = std::min(pointer.find('/'), pointer.size());
    const std::string name = unescaped(pointer.substr(0, slash));
    pointer.remove_prefix(slash);
    const bool index =
        !name.empty() && std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
    if (in_map || index) {
      out += '[' + name + ']';
    } else {
      if (!out.empty()) out += '.';
      out += name;
    }
    in_map = holds_keys(name);
  }
  return out;
}

std::string to_string(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& finding : findings) {
    if (!out.empty()) out += "; ";
    if (!finding.pointer.empty()) out += finding.pointer + ": ";
    out += finding.message;
  }
  return out;
}

}  // namespace baton::api
