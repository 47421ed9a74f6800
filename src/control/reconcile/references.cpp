#include "control/reconcile/references.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "control/plan/ca_bundle.hpp"
#include "control/plan/child_name.hpp"
#include "control/plan/group.hpp"
#include "control/reconcile/fields.hpp"
#include "control/reconcile/found_by.hpp"
#include "control/reconcile/installation.hpp"
#include "control/reconcile/kinds.hpp"

namespace baton::reconcile {

namespace {

using kube::Object;
using kube::SnapshotPtr;
using Keys = std::set<std::string>;

// What the system namespace holds is for everybody.
std::string_view scope_of(const plan::Settings& settings, const Object& object) {
  const auto ns = kube::namespace_of(object);
  return ns == settings.system_namespace ? "" : ns;
}

// The service that owns it; "" when none does.
std::string owner_key(const Object& child) {
  for (const auto& ref : items(child, {"metadata", "ownerReferences"})) {
    if (ref.string_at({"kind"}) == kService.kind) {
      return fmt::format("{}/{}", kube::namespace_of(child), ref.string_at({"name"}));
    }
  }
  // A ClusterRoleBinding cannot be owned.
  if (child.string_at({"kind"}) == "ClusterRoleBinding") {
    const auto& subjects = items(child, {"subjects"});
    const auto name = kube::label(child, kNameLabel);
    if (!subjects.empty() && !name.empty()) {
      return fmt::format("{}/{}", subjects.front().string_at({"namespace"}), name);
    }
  }
  return "";
}

std::string group_of(const Object& service) {
  return std::string(or_else(service.string_at({"spec", "router", "route", "group"}),
                             service.string_at({"status", "router", "group", "name"})));
}

// What of a member its group looks at.
Object traffic_of(const SnapshotPtr& snapshot) {
  if (!snapshot) return {};
  const auto& service = snapshot->object;
  Object out;
  for (const auto* member : {"router", "model", "baseRefs"}) {
    if (const auto* value = service.find_path({"spec", member})) out[member] = *value;
  }
  out["stopped"] = plan::is_stopped(service);
  out["deleting"] = kube::is_deleting(service);
  out["routable"] = plan::is_routable(service);
  out["pool"] = service.string_at({"status", "router", "scheduler", "inferencePool", "name"});
  for (const auto& address : items(service, {"status", "addresses"})) {
    out["models"].push_back(address.find("models") == nullptr ? Object() : *address.find("models"));
  }
  return out;
}

class Concern {
 public:
  Concern(const kube::Cache& cache, const plan::Settings& settings)
      : cache_(cache), settings_(settings) {}

  Keys take() && {
    keys_.erase("");
    return std::move(keys_);
  }

  // Services of the namespace ("" for all) for which `holds`.
  template <class Holds>
  void add_if(std::string_view ns, Holds holds) {
    for (const auto& service : cache_.list(kService, ns)) {
      if (holds(service->object)) keys_.insert(service_key(service->object));
    }
  }
  void add_all() {
    add_if("", [](const Object&) { return true; });
  }
  void add(const std::vector<SnapshotPtr>& services) {
    for (const auto& service : services) keys_.insert(service_key(service->object));
  }

  void service(const SnapshotPtr& before, const SnapshotPtr& now) {
    keys_.insert(service_key((now ? now : before)->object));
    if (traffic_of(before) == traffic_of(now)) return;
    for (const auto& one : {before, now}) {
      if (!one) continue;
      const auto group = group_of(one->object);
      if (group.empty()) continue;
      add_if(kube::namespace_of(one->object),
             [&](const Object& service) { return group_of(service) == group; });
    }
  }

  // Who uses it is told in its status, which is nobody's concern.
  void config(const SnapshotPtr& before, const SnapshotPtr& now) {
    if (before && now && before->content == now->content) return;
    add(users_of(cache_, settings_, (now ? now : before)->object));
  }

  void config_map(const SnapshotPtr& before, const SnapshotPtr& now) {
    const auto& map = (now ? now : before)->object;
    if (kube::namespace_of(map) == settings_.system_namespace &&
        kube::name_of(map) == kInstallationConfigMap) {
      const auto data = [](const SnapshotPtr& one) {
        const auto* found = one ? one->object.find("data") : nullptr;
        return found == nullptr ? Object() : *found;
      };
      if (data(before) != data(now)) add_all();
      return;
    }
    keys_.insert(owner_key(map));
    // Everybody's initializers trust the one, those of the namespace the other.
    if (is_ca_bundle(map)) add_all();
    if (kube::name_of(map) == plan::kCaBundleCopy) {
      add_if(kube::namespace_of(map), [](const Object&) { return true; });
    }
    const auto refers = [&](const Object& one) {
      return one.string_at({"spec", "router", "scheduler", "config", "ref", "name"}) ==
             kube::name_of(map);
    };
    const auto ns = scope_of(settings_, map);
    add_if(ns, refers);
    for (const auto& config : cache_.list(kServiceConfig, "")) {
      if (!refers(config->object)) continue;
      add(cache_.indexed(kService, ns, config_key(kube::name_of(config->object))));
    }
  }

  void route(const Object& route) {
    keys_.insert(owner_key(route));
    const auto ns = kube::namespace_of(route);
    add(cache_.indexed(kService, ns, route_key(kube::name_of(route))));
    add(cache_.indexed(kService, ns, kAwaitsRoutes));
  }

  void gateway(std::string_view ns, std::string_view name) {
    const bool is_default =
        name == settings_.ingress_gateway_name && ns == settings_.ingress_gateway_namespace;
    add_if("", [&](const Object& service) {
      const auto own = kube::namespace_of(service);
      const auto names = [&](std::initializer_list<std::string_view> path) {
        return std::ranges::any_of(items(service, path), [&](const Object& ref) {
          return ref.string_at({"name"}) == name &&
                 or_else(ref.string_at({"namespace"}), own) == ns;
        });
      };
      return (is_default && has(service, {"spec", "router"})) ||
             names({"spec", "router", "gateway", "refs"}) ||
             names({"spec", "router", "route", "http", "spec", "parentRefs"}) ||
             names({"status", "router", "gateways"}) || has_wrong_refs(service, "GatewaysReady") ||
             has_wrong_refs(service, "HTTPRoutesReady");
    });
  }

  void pool(const Object& pool) {
    keys_.insert(owner_key(pool));
    add(cache_.indexed(kService, kube::namespace_of(pool), pool_key(kube::name_of(pool))));
  }

  void pod(const SnapshotPtr& before, const SnapshotPtr& now) {
    const auto part_of = [](const SnapshotPtr& one) {
      Object out;
      for (const auto* member : {"podIPs", "initContainerStatuses"}) {
        const auto* value = one ? one->object.find_path({"status", member}) : nullptr;
        out[member] = value == nullptr ? Object() : *value;
      }
      return out;
    };
    const auto& object = (now ? now : before)->object;
    const auto name = kube::label(object, kNameLabel);
    if (name.empty() || part_of(before) == part_of(now)) return;
    keys_.insert(fmt::format("{}/{}", kube::namespace_of(object), name));
  }

  // Accounts that a service names, or that all of the namespace use.
  void account(const Object& account) {
    const auto owner = owner_key(account);
    if (!owner.empty()) {
      keys_.insert(owner);
      return;
    }
    add_if(kube::namespace_of(account), [](const Object&) { return true; });
  }

  // One that an account or a service's annotation names goes into plans.
  void secret(const SnapshotPtr& before, const SnapshotPtr& now) {
    const auto& object = (now ? now : before)->object;
    const auto owner = owner_key(object);
    keys_.insert(owner);
    if (!owner.empty() || (before && now && before->content == now->content)) return;
    const auto name = kube::name_of(object);
    const auto ns = kube::namespace_of(object);
    const auto accounts = cache_.indexed(kServiceAccount, ns, kFree);
    const bool is_accounts = std::ranges::any_of(accounts, [&](const SnapshotPtr& account) {
      return std::ranges::any_of(items(account->object, {"secrets"}), [&](const Object& ref) {
        return ref.string_at({"name"}) == name;
      });
    });
    add_if(ns, [&](const Object& service) {
      const auto* annotations = service.find_path({"metadata", "annotations"});
      // Which annotation it is that names Secrets, the installation says.
      return is_accounts || (annotations != nullptr && annotations->if_object() != nullptr &&
                             std::ranges::any_of(*annotations->if_object(), [&](const auto& one) {
                               return one.value.is_string() && *one.value.if_string() == name;
                             }));
    });
  }

  void core_service(const Object& service) {
    keys_.insert(owner_key(service));
    const auto ns = kube::namespace_of(service);
    const auto label = kube::label(service, kGatewayNameLabel);
    for (const auto name : {label, kube::name_of(service)}) {
      if (!name.empty() && cache_.get({kGateway, std::string(ns), std::string(name)})) {
        gateway(ns, name);
      }
    }
  }

  void child(const Object& object) { keys_.insert(owner_key(object)); }

 private:
  bool is_ca_bundle(const Object& map) const {
    const auto& system = settings_.system_namespace;
    if (kube::namespace_of(map) != system) return false;
    const auto config = cache_.get({kConfigMap, system, std::string(kInstallationConfigMap)});
    if (!config) return kube::name_of(map) == settings_.storage.ca_bundle_config_map;
    const auto read = plan::read_settings(config->object, settings_);
    return read && kube::name_of(map) == read->storage.ca_bundle_config_map;
  }

  const kube::Cache& cache_;
  const plan::Settings& settings_;
  Keys keys_;
};

}  // namespace

std::string service_key(const Object& object) {
  return fmt::format("{}/{}", kube::namespace_of(object), kube::name_of(object));
}

bool is_in_use_by_group(const kube::Cache& cache, const Object& service) {
  if (group_of(service).empty()) return false;
  const auto name = kube::name_of(service);
  const std::string pool(
      or_else(service.string_at({"spec", "router", "scheduler", "pool", "ref", "name"}),
              plan::child_name(name, "-inference-pool")));
  const auto workload = plan::child_name(name, "-kserve-workload-svc");
  for (const auto& peer : cache.list(kService, kube::namespace_of(service))) {
    if (kube::is_deleting(peer->object) || kube::uid_of(peer->object) == kube::uid_of(service)) {
      continue;
    }
    for (const auto& route : cache.controlled(kRoute, kube::uid_of(peer->object))) {
      for (const auto& rule : items(route->object, {"spec", "rules"})) {
        for (const auto& backend : items(rule, {"backendRefs"})) {
          const auto to = backend.string_at({"name"});
          if (to == pool || to == workload) return true;
        }
      }
    }
  }
  return false;
}

std::vector<SnapshotPtr> users_of(const kube::Cache& cache, const plan::Settings& settings,
                                  const Object& config) {
  return cache.indexed(kService, scope_of(settings, config), config_key(kube::name_of(config)));
}

Keys configs_concerned(const kube::Cache& cache, const plan::Settings& settings,
                       const SnapshotPtr& before, const SnapshotPtr& now) {
  const auto used = [&](const SnapshotPtr& one) {
    return one ? used_configs(one->object, settings.config_prefix) : Keys();
  };
  const auto was = used(before);
  const auto is = used(now);
  std::vector<std::string> names;
  std::ranges::set_symmetric_difference(was, is, std::back_inserter(names));
  const std::string ns(kube::namespace_of((now ? now : before)->object));
  Keys out;
  for (const auto& name : names) {
    for (const auto& place : {ns, settings.system_namespace}) {
      if (cache.get({kServiceConfig, place, name})) out.insert(fmt::format("{}/{}", place, name));
    }
  }
  return out;
}

std::set<std::string> concerned(const kube::Cache& cache, const plan::Settings& settings,
                                const SnapshotPtr& before, const SnapshotPtr& now) {
  Concern concern(cache, settings);
  const auto& object = (now ? now : before)->object;
  const auto kind = object.string_at({"kind"});
  if (kind == kService.kind) {
    concern.service(before, now);
  } else if (kind == kServiceConfig.kind) {
    concern.config(before, now);
  } else if (kind == kConfigMap.kind) {
    concern.config_map(before, now);
  } else if (kind == kRoute.kind) {
    concern.route(object);
  } else if (kind == kGateway.kind) {
    concern.gateway(kube::namespace_of(object), kube::name_of(object));
  } else if (kind == kPool.kind) {
    concern.pool(object);
  } else if (kind == kPod.kind) {
    concern.pod(before, now);
  } else if (kind == kServiceAccount.kind) {
    concern.account(object);
  } else if (kind == kSecret.kind) {
    concern.secret(before, now);
  } else if (kind == kCoreService.kind) {
    concern.core_service(object);
  } else {
    concern.child(object);
  }
  return std::move(concern).take();
}

}  // namespace baton::reconcile
