#include "control/reconcile/observe.hpp"

#include <algorithm>
#include <functional>

#include "control/plan/ca_bundle.hpp"
#include "control/plan/child_name.hpp"
#include "control/plan/live_kinds.hpp"
#include "control/reconcile/fields.hpp"
#include "control/reconcile/found_by.hpp"
#include "control/reconcile/kinds.hpp"

namespace baton::reconcile {

namespace {

using kube::Object;
using Snapshots = std::vector<kube::SnapshotPtr>;

std::vector<Object> objects_of(const Snapshots& snapshots) {
  std::vector<Object> out;
  out.reserve(snapshots.size());
  for (const auto& one : snapshots) out.push_back(one->object);
  return out;
}

void append(Snapshots& to, Snapshots more) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

std::string cluster_role_binding_name(const Object& service) {
  return plan::child_name(kube::namespace_of(service),
                          "-" + std::string(kube::name_of(service)) + "-epp-auth-rb");
}

// Gateways that the service may mean: those of refs, of any route of its namespace, the default.
Snapshots gateways_for(const kube::Cache& cache, const Observation& seen) {
  std::set<std::pair<std::string, std::string>> names;
  const auto& settings = seen.installation.plan;
  names.emplace(settings.ingress_gateway_namespace, settings.ingress_gateway_name);
  const std::string ns(kube::namespace_of(seen.service->object));
  const auto add = [&](const text::json::Array& refs) {
    for (const auto& ref : refs) {
      names.emplace(or_else(ref.string_at({"namespace"}), ns), ref.string_at({"name"}));
    }
  };
  const auto add_spec = [&](const Object& object) {
    add(items(object, {"spec", "router", "gateway", "refs"}));
    add(items(object, {"spec", "router", "route", "http", "spec", "parentRefs"}));
  };
  add_spec(seen.service->object);
  for (const auto& config : seen.configs) add_spec(config->object);
  for (const auto& route : seen.routes) add(items(route->object, {"spec", "parentRefs"}));
  Snapshots out;
  for (const auto& [gateway_ns, name] : names) {
    if (auto gateway = cache.get({kGateway, gateway_ns, name})) out.push_back(std::move(gateway));
  }
  return out;
}

// The Services that may stand before those gateways, and the service's own namespace's.
Snapshots services_for(const kube::Cache& cache, const Observation& seen) {
  const auto ns = kube::namespace_of(seen.service->object);
  Snapshots out;
  const auto own = plan::child_name(kube::name_of(seen.service->object), "-kserve-workload-svc");
  if (auto service = cache.get({kCoreService, std::string(ns), own})) out.push_back(service);
  for (const auto& gateway : seen.gateways) {
    const std::string gateway_ns(kube::namespace_of(gateway->object));
    const std::string name(kube::name_of(gateway->object));
    append(out, cache.indexed(kCoreService, gateway_ns, name));
    if (auto same = cache.get({kCoreService, gateway_ns, name})) out.push_back(std::move(same));
  }
  return out;
}

// Its own and what no service owns.
Snapshots free_and_own(const kube::Cache& cache, const kube::Type& type, const Object& service) {
  auto out = cache.indexed(type, kube::namespace_of(service), kFree);
  append(out, cache.controlled(type, kube::uid_of(service)));
  return out;
}

// Each once, by name.
Snapshots peers_of(const kube::Cache& cache, const Observation& seen) {
  const auto& object = seen.service->object;
  auto ties = ties_of(object);
  for (const auto& config : seen.configs) ties.merge(ties_of(config->object));
  std::map<std::string, kube::SnapshotPtr, std::less<>> found;
  for (const auto& tie : ties) {
    for (auto& one : cache.indexed(kService, kube::namespace_of(object), tie_key(tie))) {
      if (kube::uid_of(one->object) != kube::uid_of(object)) {
        found.try_emplace(std::string(kube::name_of(one->object)), std::move(one));
      }
    }
  }
  Snapshots out;
  for (auto& [name, one] : found) out.push_back(std::move(one));
  return out;
}

// Its own, and those that the service or a configuration refers to.
void add_routes_and_pools(const kube::Cache& cache, Observation& seen) {
  const auto& object = seen.service->object;
  const std::string ns(kube::namespace_of(object));
  std::set<std::string> routes;
  std::set<std::string> pools;
  const auto refer = [&](const Object& one) {
    for (const auto& ref : items(one, {"spec", "router", "route", "http", "refs"})) {
      routes.emplace(ref.string_at({"name"}));
    }
    pools.emplace(one.string_at({"spec", "router", "scheduler", "pool", "ref", "name"}));
  };
  refer(object);
  for (const auto& config : seen.configs) refer(config->object);
  const auto add = [&](Snapshots& to, const kube::Type& type, const std::set<std::string>& names) {
    to = cache.controlled(type, kube::uid_of(object));
    for (const auto& name : names) {
      auto one = cache.get({type, ns, name});
      if (one && kube::controller_uid(one->object) != kube::uid_of(object)) to.push_back(one);
    }
  };
  add(seen.routes, kRoute, routes);
  add(seen.pools, kPool, pools);
  append(seen.pools, cache.controlled(kOldPool, kube::uid_of(object)));
}

void note(std::uint64_t& state, std::uint64_t value) {
  state = (state ^ value) * 1099511628211U;
  state ^= state >> 29;
}

}  // namespace

Snapshots children_of(const kube::Cache& cache, const Object& service) {
  Snapshots out;
  for (const auto& type : child_types()) {
    if (type == kClusterRoleBinding) {
      if (auto binding = cache.get({type, "", cluster_role_binding_name(service)})) {
        out.push_back(std::move(binding));
      }
    } else {
      append(out, cache.controlled(type, kube::uid_of(service)));
    }
  }
  return out;
}

std::uint64_t Observation::fingerprint() const {
  std::uint64_t state = 14695981039346656037U;
  const auto add = [&](const kube::SnapshotPtr& one) {
    note(state, std::hash<std::string_view>{}(kube::uid_of(one->object)));
    note(state, std::hash<std::string_view>{}(one->version()));
  };
  add(service);
  for (const auto* list : {&config_maps, &accounts, &secrets, &children, &pods, &peers, &routes,
                           &pools, &gateways, &services}) {
    note(state, list->size());
    for (const auto& one : *list) add(one);
  }
  note(state, configs.size());
  for (const auto& one : configs) {
    note(state, std::hash<std::string_view>{}(kube::uid_of(one->object)));
    note(state, one->content);
  }
  note(state, installation.plan.serves_x_pools ? 1 : 0);
  return state;
}

plan::ServiceView Observation::view() const {
  plan::ServiceView out;
  out.service = service->object;
  out.configs = objects_of(configs);
  out.config_maps = objects_of(config_maps);
  for (const auto& child : children) {
    if (plan::reads_live(child->object.string_at({"kind"}))) out.children.push_back(child->object);
  }
  out.accounts = objects_of(accounts);
  out.secrets = objects_of(secrets);
  out.peers = objects_of(peers);
  out.gateways = objects_of(gateways);
  out.settings = installation.plan;
  return out;
}

RouterView Observation::router(const Object& merged) const {
  RouterView out{.merged = merged,
                 .routes = {},
                 .pools = {},
                 .gateways = {},
                 .services = {},
                 .installation = installation};
  const auto& refs = items(merged, {"spec", "router", "route", "http", "refs"});
  const bool routed = has(merged, {"spec", "router", "route"});
  for (const auto& route : routes) {
    const auto name = kube::name_of(route->object);
    const bool named = std::ranges::any_of(
        refs, [&](const Object& ref) { return ref.string_at({"name"}) == name; });
    const bool owned = kube::controller_uid(route->object) == kube::uid_of(service->object);
    if (routed && (refs.empty() ? owned : named)) out.routes.push_back(&route->object);
  }
  const auto pool = merged.string_at({"spec", "router", "scheduler", "pool", "ref", "name"});
  for (const auto& one : pools) {
    const bool owned = kube::controller_uid(one->object) == kube::uid_of(service->object);
    const bool v1 = kube::type_of(one->object).group == kPool.group;
    if (pool.empty() ? owned : v1 && kube::name_of(one->object) == pool) {
      out.pools.push_back(&one->object);
    }
  }
  for (const auto& gateway : gateways) out.gateways.push_back(&gateway->object);
  for (const auto& one : services) out.services.push_back(&one->object);
  return out;
}

Result<kube::SnapshotPtr> ConfigMapReader::read(const std::string& ns, const std::string& name,
                                                Deadline deadline) {
  const kube::ObjectKey key{kConfigMap, ns, name};
  auto cached = cache_.get(key);
  if (!cached || keeps_data(cached->object)) return cached;
  {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(key);
    if (found != known_.end() && found->second->version() == cached->version()) {
      return found->second;
    }
  }
  auto read = cluster_.get(key, deadline);
  if (!read && read.error().code() == Code::kNotFound) return kube::SnapshotPtr();
  if (!read) return std::move(read).error();
  kube::SnapshotPtr snapshot = std::make_shared<const kube::Snapshot>(
      kube::Snapshot{kube::without_bookkeeping(*read), cached->content});
  const std::lock_guard lock(mutex_);
  known_[key] = snapshot;
  return snapshot;
}

std::set<std::string> config_map_refs(const Object& service, const Snapshots& configs) {
  std::set<std::string> out;
  const auto add = [&](const Object& object) {
    out.emplace(object.string_at({"spec", "router", "scheduler", "config", "ref", "name"}));
  };
  add(service);
  for (const auto& config : configs) add(config->object);
  out.erase("");
  return out;
}

Result<Observation> observe(const kube::Cache& cache, ConfigMapReader& config_maps,
                            const Installation& base, kube::SnapshotPtr service,
                            Deadline deadline) {
  Observation out;
  out.service = std::move(service);
  const auto& object = out.service->object;
  const std::string ns(kube::namespace_of(object));
  const auto& system = base.plan.system_namespace;
  out.installation = base;
  if (const auto config = cache.get({kConfigMap, system, std::string(kInstallationConfigMap)})) {
    auto read = read_installation(config->object, base);
    // Stopping needs no configuration.
    if (!read && !plan::is_stopped(object)) return std::move(read).error();
    if (read) out.installation = *std::move(read);
    out.config_maps.push_back(config);
  }
  out.installation.plan.serves_x_pools = cache.serves(kOldPool);

  // Authorities that initializers trust: the original, and the namespace's copy.
  const auto& bundle = out.installation.plan.storage.ca_bundle_config_map;
  if (!bundle.empty() && ns != system) {
    for (const auto& key : {kube::ObjectKey{kConfigMap, system, bundle},
                            kube::ObjectKey{kConfigMap, ns, std::string(plan::kCaBundleCopy)}}) {
      if (auto map = cache.get(key)) out.config_maps.push_back(std::move(map));
    }
  }

  out.configs = cache.list(kServiceConfig, ns);
  if (ns != system) append(out.configs, cache.list(kServiceConfig, system));
  for (const auto& name : config_map_refs(object, out.configs)) {
    for (const auto& place : {ns, system}) {
      BATON_TRY_ASSIGN(auto map, config_maps.read(place, name, deadline));
      if (map) out.config_maps.push_back(std::move(map));
      if (ns == system) break;
    }
  }
  out.accounts = free_and_own(cache, kServiceAccount, object);
  out.secrets = free_and_own(cache, kSecret, object);
  out.children = children_of(cache, object);
  out.pods = cache.indexed(kPod, ns, kube::name_of(object));
  out.peers = peers_of(cache, out);
  add_routes_and_pools(cache, out);
  out.gateways = gateways_for(cache, out);
  out.services = services_for(cache, out);
  return out;
}

}  // namespace baton::reconcile
