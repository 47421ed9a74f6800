#include "control/plan/child_name.hpp"

#include <algorithm>

#include "control/plan/md5.hpp"

namespace baton::plan {
namespace {

constexpr std::size_t kLongest = 63;          // a DNS label
constexpr std::size_t kRest = kLongest - 32;  // beside 32 hexadecimal digits

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

}  // namespace

std::string child_name(std::string_view parent, std::string_view suffix) {
  std::string name(parent);
  if (parent.size() + suffix.size() <= kLongest) return name.append(suffix);
  if (suffix.size() < kRest) {
    return std::string(parent.substr(0, kRest - suffix.size()))
        .append(md5_hex(parent))
        .append(suffix);
  }
  const std::string hash = md5_hex(name.append(suffix));
  name = std::string(parent.substr(0, kRest)) + hash;
  if (name.size() < kLongest) name += suffix.substr(0, kLongest - name.size());
  while (!name.empty() && !is_alphanumeric(name.back())) name.pop_back();
  return name;
}

}  // namespace baton::plan
