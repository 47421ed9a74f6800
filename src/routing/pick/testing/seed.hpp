#pragma once
// The configuration that splits prefill and decode as KServe's samples do, for tests and benches.

#include <string>
#include <string_view>

#include "routing/pick/service_pool.hpp"

namespace baton::pick::testing {

// The October 2025 generation: a threshold in bytes, blocks of 64 bytes.
inline constexpr std::string_view kSeedPd = R"(
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: pd-profile-handler, parameters: {threshold: 100}}
- {type: prefill-header-handler}
- {type: prefill-filter}
- {type: decode-filter}
- {type: prefix-cache-scorer}
- {type: load-aware-scorer}
- {type: max-score-picker}
schedulingProfiles:
- name: prefill
  plugins: [{pluginRef: prefill-filter}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: load-aware-scorer}]
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer, weight: 2}, {pluginRef: load-aware-scorer}]
)";

inline schedule::Endpoint endpoint(std::string_view name, std::string_view role,
                                   std::string_view host = "127.0.0.1", std::uint16_t port = 0) {
  schedule::Endpoint made;
  made.ns = "llm";
  made.name = name;
  made.host = host;
  made.port = port;
  if (!role.empty()) made.labels.emplace(schedule::kRoleLabel, role);
  return made;
}

// Without endpoints.
inline watch::Service service(std::string_view picker = kSeedPd) {
  watch::Service made;
  made.ns = "llm";
  made.name = "pool";
  made.models = {"m"};
  made.picker = picker;
  made.picker_source = "test";
  return made;
}

}  // namespace baton::pick::testing
