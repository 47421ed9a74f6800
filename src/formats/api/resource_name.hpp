#pragma once
// Names under `resources` of a container.

#include <string_view>

namespace baton::api {

// Whether the name is that of a device or another countable thing of a node ("nvidia.com/gpu"), as
// Kubernetes tells them from its own resources, which may have the prefix "kubernetes.io/".
inline bool is_extended_resource(std::string_view name) {
  return name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.");
}

}  // namespace baton::api
