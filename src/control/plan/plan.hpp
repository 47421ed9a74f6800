#pragma once
// The heart of the product: a service and what is known about the cluster in, everything that
// should exist out. Pure: same input, same bytes. `serve`, `plan` and the controller all call it.

#include <cstdint>
#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::plan {

using text::json::Value;

// What an installation decides (the inferenceservice-config ConfigMap, environment, flags).
struct Settings {
  std::string system_namespace = "kserve";
  std::string config_prefix = "kserve-";
  std::string ingress_gateway_name = "kserve-ingress-gateway";
  std::string ingress_gateway_namespace = "kserve";
  std::string model_routing_header = "X-Gateway-Model-Name";
  bool enable_tls = false;
  std::string cluster_domain = "cluster.local";
  std::string storage_initializer_image = "kserve/storage-initializer:v0.20.0";
  // The x-k8s InferencePool API is served beside v1: both pools are made.
  bool serves_x_pools = true;
  // What a service gets that names no picker configuration: the October 2025 description's, or the
  // one of today's llm-d picker.
  enum class PickerDefault : std::uint8_t { kSeed, kCurrent };
  PickerDefault picker_default = PickerDefault::kSeed;
  // Parallel sizes are accepted as emulated: no warning that one process cannot split itself.
  bool emulate_accelerators = false;
};

struct ServiceView {
  Value service;                   // LLMInferenceService, either version, as read
  std::vector<Value> configs;      // LLMInferenceServiceConfigs of its namespace and the system's
  std::vector<Value> config_maps;  // those of its namespace and the system's
  std::vector<Value> children;     // live objects it owns (to keep what others decide, as replicas)
  Settings settings;
};

struct Warning {
  std::string pointer;  // JSON pointer into the service, "" for the whole
  std::string message;
};

// Something that needs I/O or a clock: reconcile fulfils it.
struct Wish {
  enum class Kind : std::uint8_t { kTlsSecret };
  Kind kind;
  std::string ns, name;
  std::vector<std::string> dns_names, addresses;
};

struct Plan {
  Value merged;                 // the service after defaulting, configs and templates (v1alpha2)
  std::vector<Value> children;  // complete objects with owner references, in order of creation
  std::vector<Wish> wishes;
  std::vector<Warning> warnings;
  // "Preset:kserve/kserve-config-llm-template", "UserRef:ns/name", in merge order.
  std::vector<std::string> applied_configs;
};

// kInvalid: the service or its merge is wrong; the message names the JSON pointer, all findings
// joined by "; ". kNotFound: a baseRef or ConfigMap is missing; the message lists candidates.
Result<Plan> plan(const ServiceView& observed);

}  // namespace baton::plan
