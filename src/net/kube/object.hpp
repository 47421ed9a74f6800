#pragma once
// Reading and writing the members every Kubernetes object has. Pure.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "net/kube/cluster.hpp"

namespace baton::kube {

inline std::string_view name_of(const Object& o [[clang::lifetimebound]]) {
  return o.string_at({"metadata", "name"});
}
inline std::string_view namespace_of(const Object& o [[clang::lifetimebound]]) {
  return o.string_at({"metadata", "namespace"});
}
inline std::string_view uid_of(const Object& o [[clang::lifetimebound]]) {
  return o.string_at({"metadata", "uid"});
}
inline bool is_deleting(const Object& o) {
  return !o.string_at({"metadata", "deletionTimestamp"}).empty();
}
std::int64_t generation_of(const Object& o);

// "" when absent.
std::string_view label(const Object& o [[clang::lifetimebound]], std::string_view key);
std::string_view annotation(const Object& o [[clang::lifetimebound]], std::string_view key);

// An ownerReference that names `owner` as the controller.
Object controller_reference(const Object& owner);
// The uid of the controlling owner, or "".
std::string_view controller_uid(const Object& o [[clang::lifetimebound]]);

// "2025-11-25T07:25:00Z" (RFC 3339, seconds), as metav1.Time.
std::string timestamp(Wall at);
// "2025-11-25T07:25:00.123456Z", as metav1.MicroTime.
std::string micro_timestamp(Wall at);
// RFC 3339, with fraction or offset if it has them.
std::optional<Wall> parse_timestamp(std::string_view text);

// The condition of that type in status.conditions, or null.
const Object* find_condition(const Object& o, std::string_view type);
bool condition_is(const Object& o, std::string_view type, std::string_view status);

struct Condition {
  std::string type;
  std::string status;  // "True", "False", "Unknown"
  std::string reason;
  std::string message;
  std::string severity;  // "" or "Info"
};
// Puts `condition` into the array `conditions` (created when null); lastTransitionTime moves only
// when the status changes.
void set_condition(Object& conditions, const Condition& condition, Wall now);
void remove_condition(Object& conditions, std::string_view type);

// RFC 7386.
void merge_patch(Object& target, const Object& patch);

// A suffix as generateName appends: five characters without vowels or look-alikes.
std::string name_suffix(std::uint64_t random);

// The selector of spec.selector.matchLabels.
LabelSelector match_labels(const Object& labels);

}  // namespace baton::kube
