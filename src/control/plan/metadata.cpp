// Which labels and annotations of a service reach its children and their pods.

#include <algorithm>
#include <span>
#include <string>

#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Object;

constexpr std::string_view kModelRoutingKey = "serving.kserve.io/model-based-routing-enabled";
constexpr std::string_view kLabelPrefixes[] = {"kueue.x-k8s.io",
                                               "internal.serving.kserve.io/localmodel"};
constexpr std::string_view kAnnotationPrefixes[] = {
    "k8s.v1.cni.cncf.io", "kueue.x-k8s.io", "prometheus.io",
    "internal.serving.kserve.io/localmodel", "leaderworkerset.sigs.k8s.io"};

void copy_matching(const Value& service, std::string_view map,
                   std::span<const std::string_view> prefixes, Value& metadata) {
  const Value* from = get(service, {"metadata", map});
  if (from == nullptr || !from->is_object()) return;
  for (const auto& [key, value] : *from->if_object()) {
    const bool wanted =
        std::ranges::any_of(prefixes, [&](std::string_view p) { return key.starts_with(p); });
    if (wanted) metadata[map][key] = value;
  }
}

}  // namespace

void hand_down(const Build& build, Handed kind, Value& metadata) {
  copy_matching(build.service, "labels", kLabelPrefixes, metadata);
  const std::span annotations(kAnnotationPrefixes);
  copy_matching(
      build.service, "annotations",
      kind == Handed::kLeaderWorkerSet ? annotations : annotations.first(annotations.size() - 1),
      metadata);
}

Value pod_metadata(const Build& build, const Workload& workload, Value labels) {
  Value metadata = Object{{"labels", std::move(labels)}};
  hand_down(build, workload.is_multi_node() ? Handed::kLeaderWorkerSet : Handed::kDeployment,
            metadata);
  for (const std::string_view map : {"labels", "annotations"}) {
    const Value* from = get(workload.spec, {map});
    if (from == nullptr) continue;
    for (const auto& [key, value] : *from->if_object()) {
      if (key == kModelRoutingKey || (map == "labels" && is_selected(key))) continue;
      metadata[map][key] = value;
    }
  }
  metadata["labels"][kRevision] = build.revision;
  return metadata;
}

}  // namespace baton::plan
