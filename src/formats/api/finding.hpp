#pragma once
// What is wrong, or merely useless, in a manifest, and where.

#include <string>
#include <vector>

namespace baton::api {

struct Finding {
  std::string pointer;  // JSON pointer into the object, "" for the whole
  std::string message;
  friend bool operator==(const Finding&, const Finding&) = default;
};

// Errors refuse the object; warnings do not.
struct Findings {
  std::vector<Finding> errors;
  std::vector<Finding> warnings;
};

// "/spec/replicas: must be at least 0, is -1; /spec/model: …"
std::string to_string(const std::vector<Finding>& findings);

}  // namespace baton::api
