#include "formats/api/finding.hpp"

namespace baton::api {

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
