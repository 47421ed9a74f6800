#pragma once
// Models that a cache already holds on the nodes: LocalModelCache, LocalModelNamespaceCache
// (serving.kserve.io/v1alpha1). Part of defaulting. Pure.

#include <span>
#include <string_view>

#include "base/text/json.hpp"

namespace baton::api {

inline constexpr std::string_view kLocalModel = "internal.serving.kserve.io/localmodel";  // label
inline constexpr std::string_view kLocalModelNamespace =
    "internal.serving.kserve.io/localmodel-namespace";  // label
inline constexpr std::string_view kLocalModelSource =
    "internal.serving.kserve.io/localmodel-sourceuri";  // annotation
inline constexpr std::string_view kLocalModelClaim =
    "internal.serving.kserve.io/localmodel-pvc-name";  // annotation: <cache>-<node group>
inline constexpr std::string_view kNoLocalModel =
    "serving.kserve.io/disable-localmodel";                                    // annotation
inline constexpr std::string_view kNodeGroup = "serving.kserve.io/nodegroup";  // annotation

struct LocalModelCaches {
  std::span<const text::json::Value> of_namespace;  // those of the service's namespace; they win
  std::span<const text::json::Value> of_cluster;
};

// Marks the service with the first cache whose source is its model.uri, or a folder above it, and
// that has the service's node group (any, when it names none). Without such a cache, or with
// kNoLocalModel, the marks are removed. Doing it twice changes nothing.
void set_local_model(text::json::Value& service, const LocalModelCaches& caches);

}  // namespace baton::api
