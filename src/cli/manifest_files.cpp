#include "cli/manifest_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <sstream>

#include "cli/quickstart.hpp"
#include "cli/text_file.hpp"
#include "control/plan/group.hpp"
#include "net/kube/object.hpp"
#include "routing/schedule/scheduler.hpp"
#include "routing/watch/topology.hpp"

namespace baton::cli {

namespace {

constexpr std::array<std::string_view, 8> kClusterScoped = {
    "Namespace",        "ClusterRole",  "ClusterRoleBinding", "CustomResourceDefinition",
    "PersistentVolume", "StorageClass", "GatewayClass",       "Node"};

std::string_view namespace_of(const text::json::Value& object) {
  const auto ns = object.string_at({"metadata", "namespace"});
  return ns.empty() ? std::string_view("default") : ns;
}

Result<api::Source> read_source(const std::string& file) {
  if (file == "-") {
    // Once: `serve` reads its files again when one changes.
    static const std::string kText = (std::ostringstream() << std::cin.rdbuf()).str();
    return api::Source{"standard input", kText};
  }
  BATON_TRY_ASSIGN(auto text, read_text_file(file));
  return api::Source{file, std::move(text)};
}

}  // namespace

Result<api::Manifests> read_manifest_files(const std::vector<std::string>& files) {
  std::vector<api::Source> sources;
  for (const std::string& file : files) {
    BATON_TRY_ASSIGN(api::Source source, read_source(file));
    sources.push_back(std::move(source));
  }
  if (files.empty()) sources.push_back({"examples/quickstart.yaml", std::string(kQuickstart)});
  return api::read_manifests(sources);
}

std::vector<text::json::Value> objects_of(const std::vector<api::Manifest>& manifests) {
  std::vector<text::json::Value> out;
  for (const auto& manifest : manifests) out.push_back(manifest.object);
  return out;
}

Result<std::map<kube::ObjectKey, kube::Object>> cluster_objects(const api::Manifests& manifests,
                                                                std::string_view ns) {
  std::map<kube::ObjectKey, kube::Object> wanted;
  for (const auto* list :
       {&manifests.config_maps, &manifests.secrets, &manifests.configs, &manifests.gateways,
        &manifests.pools, &manifests.others, &manifests.services}) {
    for (const auto& manifest : *list) {
      kube::Object object = manifest.object;
      const auto kind = object.string_at({"kind"});
      if (kube::namespace_of(object).empty() &&
          std::ranges::find(kClusterScoped, kind) == kClusterScoped.end()) {
        object["metadata"]["namespace"] = ns;
      }
      auto key = kube::key_of(object);
      if (!key) return std::move(key).error().with(manifest.where);
      wanted.emplace(*std::move(key), std::move(object));
    }
  }
  return wanted;
}

Result<std::vector<plan::Plan>> plan_manifests(const api::Manifests& manifests,
                                               const plan::Settings& settings) {
  if (manifests.services.empty()) return invalid("the files hold no LLMInferenceService");
  plan::ServiceView view;
  view.configs = objects_of(manifests.configs);
  view.config_maps = objects_of(manifests.config_maps);
  view.settings = settings;
  for (const auto& map : manifests.config_maps) {
    if (map.object.string_at({"metadata", "name"}) != "inferenceservice-config") continue;
    BATON_TRY_ASSIGN(view.settings, plan::read_settings(map.object, settings).with(map.where));
  }
  std::vector<plan::Plan> plans;
  for (const auto& service : manifests.services) {
    view.service = service.object;
    view.peers.clear();
    for (const auto& other : manifests.services) {
      if (&other != &service && namespace_of(other.object) == namespace_of(service.object)) {
        view.peers.push_back(plan::as_if_running(other.object));
      }
    }
    auto planned = plan::plan(view);
    if (!planned) {
      const std::string where = service.where_is(planned.error().message());
      return std::move(planned).error().with(where);
    }
    plans.push_back(*std::move(planned));
  }
  return plans;
}

Status check_picker(const plan::Plan& plan) {
  watch::Objects objects;
  objects.services.push_back(plan.merged);
  auto& metadata = objects.services.back()["metadata"];
  if (metadata.string_at({"namespace"}).empty()) metadata["namespace"] = "default";
  for (const auto& child : plan.children) {
    if (child.string_at({"kind"}) != "Deployment") continue;
    objects.deployments.push_back(child);  // owned as soon as the service is in a cluster
    objects.deployments.back()["metadata"]["ownerReferences"] =
        text::json::Array{kube::controller_reference(objects.services.back())};
  }
  for (const auto& service : watch::topology_of(objects).services) {
    if (!service.picker) continue;
    const auto source = service.picker_source;
    BATON_TRY_ASSIGN(const auto config, schedule::load_picker_config(*service.picker, source));
    BATON_TRY(schedule::Scheduler::make(config).with(source));
  }
  return {};
}

Status ManifestSync::put(const kube::Object& object) {
  const auto deadline = Deadline::in(clock_, std::chrono::seconds(10));
  BATON_TRY_ASSIGN(const auto key, kube::key_of(object));
  const auto live = cluster_.get(key, deadline);
  if (!live) {
    BATON_TRY(cluster_.create(object, kube::DryRun::kNo, deadline));
    return {};
  }
  // It would go with what is written now.
  if (kube::is_deleting(*live)) {
    return unavailable(fmt::format("{} is still being deleted", kube::to_string(key)));
  }
  kube::Object next = object;
  if (const auto* finalizers = live->find_path({"metadata", "finalizers"})) {
    next["metadata"]["finalizers"] = *finalizers;
  }
  BATON_TRY(cluster_.update(next, kube::DryRun::kNo, deadline));
  return {};
}

Status ManifestSync::apply(const api::Manifests& manifests) {
  BATON_TRY_ASSIGN(const auto wanted, cluster_objects(manifests, "default"));
  Status waits;
  for (const auto& [key, object] : wanted) {
    const auto before = applied_.find(key);
    if (before != applied_.end() && before->second == object) continue;
    if (const auto done = put(object); done) {
      applied_.insert_or_assign(key, object);
    } else if (done.error().code() == Code::kUnavailable) {
      waits = done;  // maybe for what the rest does
    } else {
      return done;
    }
  }
  for (auto at = applied_.begin(); at != applied_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    const auto deadline = Deadline::in(clock_, std::chrono::seconds(10));
    const auto removed = cluster_.remove(at->first, kube::Grace::kDefault, deadline);
    if (!removed && removed.error().code() != Code::kNotFound) return removed.error();
    at = applied_.erase(at);
  }
  return waits;
}

}  // namespace baton::cli
