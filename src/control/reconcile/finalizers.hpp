#pragma once
// The finalizers of an object, one at a time.

#include <algorithm>
#include <string_view>

#include "control/reconcile/fields.hpp"

namespace baton::reconcile {

inline bool has_finalizer(const kube::Object& object, std::string_view finalizer) {
  return std::ranges::any_of(
      items(object, {"metadata", "finalizers"}),
      [&](const kube::Object& one) { return one.is_string() && *one.if_string() == finalizer; });
}

// A patch, because a cache does not keep all of an object; kConflict when it was changed
// meanwhile, kNotFound when it is gone.
enum class Finalizer : bool { kRemove, kAdd };
inline Result<kube::Object> set_finalizer(kube::Cluster& cluster, const kube::Object& object,
                                          std::string_view finalizer, Finalizer what,
                                          Deadline deadline) {
  auto list = items(object, {"metadata", "finalizers"});
  std::erase_if(list, [&](const kube::Object& one) {
    return one.is_string() && *one.if_string() == finalizer;
  });
  if (what == Finalizer::kAdd) list.emplace_back(finalizer);
  kube::Object patch;
  patch["metadata"]["resourceVersion"] = object.string_at({"metadata", "resourceVersion"});
  patch["metadata"]["finalizers"] = std::move(list);
  BATON_TRY_ASSIGN(const auto key, kube::key_of(object));
  return cluster.patch(key, patch, kube::DryRun::kNo, deadline);
}

}  // namespace baton::reconcile
