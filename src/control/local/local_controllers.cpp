#include "control/local/local_controllers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/core/log.hpp"
#include "control/local/deployment.hpp"
#include "control/local/leader_worker_set.hpp"
#include "net/kube/object.hpp"

namespace baton::local {

namespace {

const kube::Type kPod{"", "v1", "Pod"};
const kube::Type kDeployment{"apps", "v1", "Deployment"};
const kube::Type kLeaderWorkerSet{"leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet"};
const kube::Type kGateway{"gateway.networking.k8s.io", "v1", "Gateway"};
const kube::Type kRoute{"gateway.networking.k8s.io", "v1", "HTTPRoute"};
const kube::Type kPool{"inference.networking.k8s.io", "v1", "InferencePool"};
const kube::Type kOldPool{"inference.networking.x-k8s.io", "v1alpha2", "InferencePool"};
const kube::Type kService{"serving.kserve.io", "v1alpha2", "LLMInferenceService"};

constexpr std::string_view kGateways = "gateways";  // the key of all gateway objects together
constexpr std::string_view kPickerComponent = "llminferenceservice-router-scheduler";
constexpr Nanos kPoll = Millis(50);  // for what has no events: the gateway in this process

std::string key_text(std::string_view kind, const kube::Object& object) {
  return fmt::format("{} {}/{}", kind, kube::namespace_of(object), kube::name_of(object));
}

// "Deployment ns/name".
kube::ObjectKey parse_key(const std::string& key, const kube::Type& type) {
  const auto space = key.find(' ');
  const auto slash = key.find('/');
  return {type, key.substr(space + 1, slash - space - 1), key.substr(slash + 1)};
}

bool is_picker(const kube::Object& deployment) {
  return kube::label(deployment, "app.kubernetes.io/component") == kPickerComponent;
}

// The Deployment or LeaderWorkerSet that controls the pod, as a key; "" when none does.
std::string owner_key(const kube::Object& pod) {
  const auto* refs = pod.find_path({"metadata", "ownerReferences"});
  if (refs == nullptr || refs->if_array() == nullptr) return "";
  for (const auto& ref : *refs->if_array()) {
    const auto kind = ref.string_at({"kind"});
    if (kind == kDeployment.kind || kind == kLeaderWorkerSet.kind) {
      return fmt::format("{} {}/{}", kind, kube::namespace_of(pod), ref.string_at({"name"}));
    }
  }
  return "";
}

}  // namespace

LocalControllers::LocalControllers(Deps deps, GatewayRef default_gateway, Scope scope)
    : deps_(deps),
      default_gateway_(std::move(default_gateway)),
      scope_(scope),
      queue_(deps.clock),
      worker_([this] { work(); }) {
  const auto gateways = [](const kube::Object&) { return std::string(kGateways); };
  for (const auto& type : {kGateway, kRoute, kPool, kOldPool}) follow(type, gateways);
  if (scope_ == Scope::kGateways) return;
  follow(kService, gateways);
  follow(kDeployment, [](const kube::Object& o) { return key_text("Deployment", o); });
  follow(kPod, owner_key);
  follow(kLeaderWorkerSet, [](const kube::Object& o) { return key_text("LeaderWorkerSet", o); });
}

LocalControllers::~LocalControllers() {
  followers_.clear();
  queue_.close();
  worker_.join();
}

void LocalControllers::follow(const kube::Type& type,
                              std::function<std::string(const kube::Object&)> key) {
  followers_.push_back(
      std::make_unique<kube::Follower>(deps_.cluster, deps_.clock, kube::Query{type, "", {}},
                                       [this, key = std::move(key)](const kube::Event& event) {
                                         if (auto text = key(event.object); !text.empty())
                                           queue_.add(text);
                                       }));
}

void LocalControllers::work() {
  while (const auto key = queue_.next()) {
    const auto done = sync(*key);
    if (done) {
      queue_.forget(*key);
    } else if (done.error().code() != Code::kNotFound) {
      // What the server refuses will not pass by waiting: somebody should know.
      const bool refused =
          done.error().code() == Code::kInvalid || done.error().code() == Code::kDenied;
      log::write(refused ? log::Level::kWarn : log::Level::kDebug, "local controller repeats",
                 {{"key", *key}, {"error", done.error().message()}});
      queue_.retry(*key);
    }
    queue_.done(*key);
  }
}

Status LocalControllers::sync(const std::string& key) {
  if (key == kGateways) return sync_gateways();
  if (key.starts_with("LeaderWorkerSet ")) {
    return sync_leader_worker_set(parse_key(key, kLeaderWorkerSet));
  }
  return sync_deployment(parse_key(key, kDeployment));
}

Deadline LocalControllers::soon() const {
  return Deadline::in(deps_.clock, std::chrono::seconds(10));
}

Result<std::vector<kube::Object>> LocalControllers::list(const kube::Query& query) {
  BATON_TRY_ASSIGN(auto found, deps_.cluster.list(query, soon()));
  return std::move(found.items);
}

Status LocalControllers::write_status(const kube::Object& object, kube::Object status) {
  if (const auto* before = object.find("status"); before != nullptr && *before == status) return {};
  kube::Object update = object;
  update["status"] = std::move(status);
  BATON_TRY(deps_.cluster.update_status(update, soon()));
  return {};
}

Status LocalControllers::sync_deployment(const kube::ObjectKey& key) {
  BATON_TRY_ASSIGN(const auto deployment, deps_.cluster.get(key, soon()));
  if (kube::is_deleting(deployment)) return {};
  if (is_picker(deployment)) return sync_hosted(deployment);
  const auto* selector = deployment.find_path({"spec", "selector", "matchLabels"});
  BATON_TRY_ASSIGN(
      auto pods,
      list({kPod, key.ns, selector ? kube::match_labels(*selector) : kube::LabelSelector{}}));
  std::erase_if(pods, [&](const kube::Object& pod) {
    return kube::controller_uid(pod) != kube::uid_of(deployment);
  });
  const auto step = next_step(deployment, pods);
  for (const auto& name : step.remove) {
    BATON_TRY(deps_.cluster.remove({kPod, key.ns, name}, kube::Grace::kDefault, soon()));
  }
  for (int i = 0; i < step.create; ++i) {
    BATON_TRY_ASSIGN(auto made,
                     deps_.cluster.create(pod_of(deployment), kube::DryRun::kNo, soon()));
    pods.push_back(std::move(made));
  }
  return write_status(deployment, deployment_status(deployment, pods, deps_.clock.wall()));
}

// A picker: the gateway in this process does its work. Only the status says so: what its owner
// applies is not touched, or the two would never agree.
Status LocalControllers::sync_hosted(const kube::Object& deployment) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(deployment));
  const auto* wanted = deployment.find_path({"spec", "replicas"});
  const auto replicas = wanted == nullptr ? 1 : wanted->if_int().value_or(1);
  const bool synced =
      deps_.gateway.picker_synced(key.ns, kube::label(deployment, "app.kubernetes.io/name"));
  const auto* before = deployment.find("status");
  kube::Object status = before == nullptr ? kube::Object() : *before;
  const auto available = synced ? replicas : 0;
  for (const auto* member : {"replicas", "updatedReplicas"}) status[member] = replicas;
  for (const auto* member : {"readyReplicas", "availableReplicas"}) status[member] = available;
  status["observedGeneration"] = kube::generation_of(deployment);
  kube::set_condition(status["conditions"],
                      synced ? kube::Condition{"Available", "True", "HostedByGateway",
                                               "the gateway's picker knows its endpoints", ""}
                             : kube::Condition{"Available", "False", "MinimumReplicasUnavailable",
                                               "the gateway's picker has no endpoints yet", ""},
                      deps_.clock.wall());
  if (!synced) queue_.add_after(key_text("Deployment", deployment), kPoll);
  return write_status(deployment, std::move(status));
}

Status LocalControllers::sync_leader_worker_set(const kube::ObjectKey& key) {
  BATON_TRY_ASSIGN(const auto set, deps_.cluster.get(key, soon()));
  if (kube::is_deleting(set)) return {};
  BATON_TRY_ASSIGN(auto pods, list({kPod, key.ns, {}}));
  std::erase_if(pods, [&](const kube::Object& pod) {
    return kube::controller_uid(pod) != kube::uid_of(set);
  });
  const auto step = next_group_step(set, pods);
  for (const auto& name : step.remove) {
    BATON_TRY(deps_.cluster.remove({kPod, key.ns, name}, kube::Grace::kDefault, soon()));
  }
  for (const auto& pod : step.create) {
    BATON_TRY_ASSIGN(auto made, deps_.cluster.create(pod, kube::DryRun::kNo, soon()));
    pods.push_back(std::move(made));
  }
  return write_status(set, leader_worker_set_status(set, pods, deps_.clock.wall()));
}

Status LocalControllers::sync_gateways() {
  const auto at = deps_.gateway.serving_at();
  if (!at) {
    queue_.add_after(std::string(kGateways), kPoll);
    return {};
  }
  BATON_TRY_ASSIGN(const auto routes, list({kRoute, "", {}}));
  if (scope_ == Scope::kEverything) {
    BATON_TRY(make_missing_gateways(routes, *at));
  }
  BATON_TRY_ASSIGN(const auto gateways, list({kGateway, "", {}}));
  for (const auto& gateway : gateways) {
    BATON_TRY(write_status(gateway, gateway_status(gateway, *at, deps_.clock.wall())));
  }
  for (const auto& route : routes) {
    BATON_TRY(write_status(route, route_status(route, deps_.clock.wall())));
  }
  BATON_TRY(sync_pools(kPool, routes));
  return sync_pools(kOldPool, routes);
}

Status LocalControllers::sync_pools(const kube::Type& type,
                                    const std::vector<kube::Object>& routes) {
  BATON_TRY_ASSIGN(const auto pools, list({type, "", {}}));
  for (const auto& pool : pools) {
    const auto text = fmt::format("{}/{}", kube::namespace_of(pool), kube::name_of(pool));
    std::set<GatewayRef> gateways;
    for (const auto& route : routes) {
      const auto used = pools_of(route);
      if (std::ranges::find(used, text) == used.end()) continue;
      for (auto& parent : parents_of(route)) gateways.insert(std::move(parent));
    }
    if (gateways.empty()) gateways.insert(default_gateway_);
    BATON_TRY(write_status(
        pool, pool_status(pool, {gateways.begin(), gateways.end()}, deps_.clock.wall())));
  }
  return {};
}

Status LocalControllers::make_missing_gateways(const std::vector<kube::Object>& routes,
                                               const GatewayAt& at) {
  std::set<GatewayRef> named{default_gateway_};
  for (const auto& route : routes) {
    for (auto& parent : parents_of(route)) named.insert(std::move(parent));
  }
  BATON_TRY_ASSIGN(const auto services, list({kService, "", {}}));
  for (const auto& service : services) {
    for (auto& gateway : gateways_of(service)) named.insert(std::move(gateway));
  }
  for (const auto& ref : named) {
    if (deps_.cluster.get({kGateway, ref.ns, ref.name}, soon())) continue;
    const auto made = deps_.cluster.create(hosted_gateway(ref, at), kube::DryRun::kNo, soon());
    if (!made && made.error().code() != Code::kConflict) return made.error();
  }
  return {};
}

}  // namespace baton::local
