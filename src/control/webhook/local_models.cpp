#include "control/webhook/local_models.hpp"

#include <fmt/format.h>

namespace baton::webhook {
namespace {

const kube::Type kOfCluster{"serving.kserve.io", "v1alpha1", "LocalModelCache"};
const kube::Type kOfNamespace{"serving.kserve.io", "v1alpha1", "LocalModelNamespaceCache"};

std::vector<kube::Object> all(const kube::Cache& cache, const kube::Type& type) {
  std::vector<kube::Object> out;
  for (const kube::SnapshotPtr& one : cache.list(type, "")) out.push_back(one->object);
  return out;
}

}  // namespace

Result<bool> uses_local_models(const kube::Object& config_map) {
  const std::string_view text = config_map.string_at({"data", "localModel"});
  if (text.empty()) return false;
  const auto parsed = text::json::parse(text);
  if (!parsed) {
    return invalid(fmt::format("/data/localModel: {}", parsed.error().message()));
  }
  const kube::Object* enabled = parsed->find("enabled");
  if (enabled == nullptr) return false;
  if (enabled->if_bool() == nullptr) {
    return invalid("/data/localModel: enabled: expected true or false");
  }
  return *enabled->if_bool();
}

LocalModels::LocalModels(kube::Cluster& cluster, const Clock& clock) : cache_(cluster, clock) {
  for (const kube::Type& type : {kOfCluster, kOfNamespace}) {
    cache_.follow({.type = type, .labels = {}, .trim = kube::without_bookkeeping},
                  [](const kube::SnapshotPtr&, const kube::SnapshotPtr&) {});
  }
  cache_.start();
}

Context::LocalModels LocalModels::now() const {
  return {all(cache_, kOfCluster), all(cache_, kOfNamespace)};
}

}  // namespace baton::webhook
