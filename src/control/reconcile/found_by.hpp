#pragma once
// By what services, and what stands around them, are found in the cache: neither a change nor a
// pass has to look at every service that there is. Pure.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "net/kube/cluster.hpp"

namespace baton::reconcile {

// The keys of a service (kube::Cache::Kind::keys): each thing it refers to, by name.
std::string config_key(std::string_view name);  // used_configs
std::string route_key(std::string_view name);   // spec's refs, and those its status tells of
std::string pool_key(std::string_view name);    // likewise
std::string tie_key(std::string_view tie);      // ties_of
// What it refers to was wrong when it was last looked at: any route may put it right.
inline constexpr std::string_view kAwaitsRoutes = "awaits-routes";
std::vector<std::string> service_keys(const kube::Object& service, std::string_view config_prefix);

// The names of the configurations that a service uses, in its own or the system namespace: its
// baseRefs, those pinned in its status, and presets that it has not pinned, under their present
// names.
std::set<std::string> used_configs(const kube::Object& service, std::string_view config_prefix);

// What may make two services concern each other: their traffic group and the models they serve.
std::set<std::string> ties_of(const kube::Object& object);

// Whether the condition is there for want of something that is referred to.
bool has_wrong_refs(const kube::Object& service, std::string_view condition);

// What no service owns: a namespace may hold thousands that services own.
inline constexpr std::string_view kFree = "free";
std::vector<std::string> owner_keys(const kube::Object& object);

}  // namespace baton::reconcile
