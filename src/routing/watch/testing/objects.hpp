#pragma once
// Cluster objects for tests, as the planner and the node agent would leave them.

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "base/text/yaml.hpp"
#include "net/kube/cluster.hpp"

namespace baton::watch::testing {

inline kube::Object parse(const std::string& yaml) { return *text::yaml::parse(yaml, "test"); }

inline kube::Object service(std::string_view name, std::string_view model,
                            std::string_view router = "{route: {}, scheduler: {}}") {
  return parse(fmt::format(R"(
apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
metadata: {{name: {}, namespace: llm}}
spec: {{model: {{name: {}}}, router: {}}}
)",
                           name, model, router));
}

inline std::string owner(std::string_view service) {
  return fmt::format(
      "ownerReferences: [{{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService, "
      "name: {}, uid: u-{}, controller: true}}]",
      service, service);
}

inline kube::Object pool(std::string_view service, int port = 8000) {
  return parse(fmt::format(R"(
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: {0}-inference-pool, namespace: llm, {1}}}
spec: {{selector: {{matchLabels: {{app.kubernetes.io/name: {0}}}}}, targetPorts: [{{number: {2}}}]}}
)",
                           service, owner(service), port));
}

// `key` in base64.
inline kube::Object routing_key(std::string_view service, std::string_view key) {
  return parse(fmt::format(R"(
apiVersion: v1
kind: Secret
metadata: {{name: {0}-kserve-routing-key, namespace: llm, labels: {{baton.dev/routing-key: "true"}}, {1}}}
data: {{key: {2}}}
)",
                           service, owner(service), key));
}

inline kube::Object workload_service(std::string_view service) {
  return parse(fmt::format(R"(
apiVersion: v1
kind: Service
metadata: {{name: {0}-kserve-workload-svc, namespace: llm, labels: {{app.kubernetes.io/component: llminferenceservice-workload}}, {1}}}
spec: {{selector: {{app.kubernetes.io/name: {0}}}, ports: [{{port: 80, targetPort: 8000}}]}}
)",
                           service, owner(service)));
}

inline kube::Object picker(std::string_view service, std::string_view args) {
  return parse(fmt::format(R"(
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {0}-kserve-router-scheduler, namespace: llm, labels: {{app.kubernetes.io/component: llminferenceservice-router-scheduler}}, {1}}}
spec: {{template: {{spec: {{containers: [{{name: main, args: {2}}}]}}}}}}
)",
                           service, owner(service), args));
}

inline kube::Object pod(std::string_view service, std::string_view name, std::string_view role,
                        std::string_view ip, std::string_view ready = "True") {
  return parse(fmt::format(R"(
apiVersion: v1
kind: Pod
metadata: {{name: {1}, namespace: llm, labels: {{app.kubernetes.io/name: {0}, llm-d.ai/role: {2}}}}}
status: {{podIP: {3}, conditions: [{{type: Ready, status: "{4}"}}]}}
)",
                           service, name, role, ip, ready));
}

}  // namespace baton::watch::testing
