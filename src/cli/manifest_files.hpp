#pragma once
// The manifests of `-f`: read, checked as a whole, and brought into a cluster.

#include <map>
#include <string>
#include <vector>

#include "control/plan/plan.hpp"
#include "formats/api/manifests.hpp"
#include "net/kube/cluster.hpp"

namespace baton::cli {

// '-' is standard input. Without files: the quickstart that is compiled in.
Result<api::Manifests> read_manifest_files(const std::vector<std::string>& files);

std::vector<text::json::Value> objects_of(const std::vector<api::Manifest>& manifests);

// All that are objects of a cluster, each with its key; those of a namespace that name none are in
// `ns`. kInvalid, with "file:line: ": no object.
Result<std::map<kube::ObjectKey, kube::Object>> cluster_objects(const api::Manifests& manifests,
                                                                std::string_view ns);

// One plan for each service, in order. kInvalid without any service. Errors begin with
// "file:line: ".
Result<std::vector<plan::Plan>> plan_manifests(const api::Manifests& manifests,
                                               const plan::Settings& settings);

// Whether the gateway's picker can be made of what the plan gives it.
Status check_picker(const plan::Plan& plan);

// The objects that files put into a cluster: adds, updates and removes what changed since the last
// call. Confined to one thread.
class ManifestSync {
 public:
  ManifestSync(kube::Cluster& cluster, const Clock& clock) : cluster_(cluster), clock_(clock) {}
  // The next call goes on where this one failed. kUnavailable: all is done but for objects whose
  // namesakes are still being deleted; try again.
  Status apply(const api::Manifests& manifests);

 private:
  Status put(const kube::Object& object);

  kube::Cluster& cluster_;
  const Clock& clock_;
  std::map<kube::ObjectKey, kube::Object> applied_;
};

}  // namespace baton::cli
