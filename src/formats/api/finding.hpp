#pragma once
// What is wrong, or merely useless, in a manifest, and where.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace baton::api {

struct Finding {
  enum class Kind : std::uint8_t { kInvalid, kRequired, kForbidden, kDuplicate };

  std::string pointer;  // JSON pointer into the object, "" for the whole
  std::string message;
  Kind kind = Kind::kInvalid;
  friend bool operator==(const Finding&, const Finding&) = default;
};

// Errors refuse the object; warnings do not.
struct Findings {
  std::vector<Finding> errors;
  std::vector<Finding> warnings;
};

// "/spec/replicas: must be at least 0, is -1; /spec/model: …"
std::string to_string(const std::vector<Finding>& findings);

// "/spec/a/0/c" as Kubernetes writes it: "spec.a[0].c"; keys of labels and annotations in brackets.
std::string field_path(std::string_view pointer);

}  // namespace baton::api
