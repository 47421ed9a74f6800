#pragma once
// Internal to routing/watch: the labels of an endpoint that stands in a file.

#include "routing/schedule/fields.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

inline void read_labels(schedule::Fields& fields, schedule::Endpoint& into) {
  const auto* labels = fields.any("labels");
  if (labels == nullptr) return;
  if (labels->if_object() == nullptr) return fields.fail("labels", "expected an object");
  for (const auto& [key, label] : *labels->if_object()) {
    if (label.if_string() == nullptr) fields.fail("labels", "values must be strings");
    into.labels[key] = label.if_string() == nullptr ? "" : *label.if_string();
  }
}

}  // namespace baton::watch
