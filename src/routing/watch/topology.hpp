#pragma once
// Everything that can be routed to: services with their model names, picker and ready endpoints.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/kube/cluster.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

struct Service {
  std::string ns, name;
  std::vector<std::string> models;    // names it answers to, the base model first
  std::optional<std::string> picker;  // EndpointPickerConfig text; nullopt: the default
  std::string picker_source;          // for messages: "Deployment llm/x-kserve-router-scheduler"
  std::string picker_problem = {};    // why the configuration cannot be known; "" normally
  bool routed = true;                 // false: no route or gateway asks for it (served anyway)
  std::string routing_key = {};       // that its sidecars want routes signed with; "" for none
  std::vector<schedule::Endpoint> endpoints;  // ready, sorted by name and port; slots not yet given

  friend bool operator==(const Service&, const Service&) = default;
};

// Immutable once handed over.
struct Topology {
  std::vector<Service> services;  // sorted by namespace and name
  friend bool operator==(const Topology&, const Topology&) = default;
};

// The objects that a topology is derived from, each kind in any order.
struct Objects {
  std::vector<kube::Object> services;     // LLMInferenceService
  std::vector<kube::Object> pools;        // InferencePool
  std::vector<kube::Object> deployments;  // of pickers and workloads
  std::vector<kube::Object> cores;        // core/v1 Service
  std::vector<kube::Object> pods;
  std::vector<kube::Object> keys;  // Secrets labelled kRoutingKeyLabel
};

// On the Secret that holds a service's `key` of signed routes, "true".
inline constexpr std::string_view kRoutingKeyLabel = "baton.dev/routing-key";

// Which pods, and which of their ports.
struct Target {
  kube::LabelSelector selector;
  std::vector<std::uint16_t> ports;
  std::string app_protocol = {};  // of an InferencePool; "" when it says none
};
Target target_of_pool(const kube::Object& pool);
// The ready ones, one endpoint a port, sorted. An empty selector selects nothing.
std::vector<schedule::Endpoint> endpoints_of(const Target& target, std::string_view ns,
                                             const std::vector<kube::Object>& pods);

// Whether an LLMInferenceService wants a gateway to serve it.
bool asks_for_route(const kube::Object& service);

// Pure. A service's pool is the one it owns or names (router.scheduler.pool.ref); without one its
// workload Service selects the pods. Pods: same namespace, selected, Ready, not going away.
Topology topology_of(const Objects& objects);

}  // namespace baton::watch
