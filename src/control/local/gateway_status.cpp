#include "control/local/gateway_status.hpp"

#include <algorithm>

#include "net/kube/object.hpp"

namespace baton::local {

namespace {

using text::json::Array;

constexpr std::string_view kController = "baton.dev/gateway";

const Array& items(const kube::Object& object, std::initializer_list<std::string_view> path) {
  static const Array kNone;
  const auto* list = object.find_path(path);
  return list == nullptr || list->if_array() == nullptr ? kNone : *list->if_array();
}

GatewayRef ref_of(const kube::Object& ref, std::string_view ns) {
  const auto own = ref.string_at({"namespace"});
  return {std::string(own.empty() ? ns : own), std::string(ref.string_at({"name"}))};
}

std::vector<GatewayRef> refs_of(const Array& list, std::string_view ns) {
  std::vector<GatewayRef> out;
  for (const auto& ref : list) {
    const auto kind = ref.string_at({"kind"});
    if (kind.empty() || kind == "Gateway") out.push_back(ref_of(ref, ns));
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

void add(kube::Object& conditions, std::string type, std::int64_t generation, Wall now) {
  const std::string name = type;
  // The API demands a message.
  kube::set_condition(conditions, {std::move(type), "True", name, "the gateway serves it", ""},
                      now);
  for (auto& condition : *conditions.if_array()) {
    if (condition.string_at({"type"}) == name) condition["observedGeneration"] = generation;
  }
}

// The entry of an earlier status with the same parent, to keep transition times.
kube::Object entry_for(const Array& before, const kube::Object& parent) {
  for (const auto& entry : before) {
    if (const auto* ref = entry.find("parentRef"); ref != nullptr && *ref == parent) return entry;
  }
  kube::Object entry;
  entry["parentRef"] = parent;
  entry["controllerName"] = kController;
  return entry;
}

}  // namespace

std::vector<GatewayRef> parents_of(const kube::Object& route) {
  return refs_of(items(route, {"spec", "parentRefs"}), kube::namespace_of(route));
}

std::vector<GatewayRef> gateways_of(const kube::Object& service) {
  return refs_of(items(service, {"spec", "router", "gateway", "refs"}),
                 kube::namespace_of(service));
}

std::vector<std::string> pools_of(const kube::Object& route) {
  std::vector<std::string> out;
  for (const auto& rule : items(route, {"spec", "rules"})) {
    for (const auto& backend : items(rule, {"backendRefs"})) {
      if (backend.string_at({"kind"}) != "InferencePool") continue;
      const auto ref = ref_of(backend, kube::namespace_of(route));
      out.push_back(ref.ns + "/" + ref.name);
    }
  }
  return out;
}

kube::Object hosted_gateway(const GatewayRef& ref, const GatewayAt& at) {
  kube::Object gateway;
  gateway["apiVersion"] = "gateway.networking.k8s.io/v1";
  gateway["kind"] = "Gateway";
  auto& metadata = gateway["metadata"];
  metadata["name"] = ref.name;
  metadata["namespace"] = ref.ns;
  metadata["annotations"]["baton.dev/hosted-by"] = "gateway";
  gateway["spec"]["gatewayClassName"] = "baton";
  kube::Object listener;
  listener["name"] = at.is_tls ? "https" : "http";
  listener["protocol"] = at.is_tls ? "HTTPS" : "HTTP";
  listener["port"] = at.port;
  gateway["spec"]["listeners"].push_back(std::move(listener));
  return gateway;
}

kube::Object gateway_status(const kube::Object& gateway, const GatewayAt& at, Wall now) {
  const auto* before = gateway.find("status");
  kube::Object status = before == nullptr ? kube::Object() : *before;
  const auto generation = kube::generation_of(gateway);
  add(status["conditions"], "Accepted", generation, now);
  add(status["conditions"], "Programmed", generation, now);
  status["addresses"] =
      Array{text::json::Object{{"type", "IPAddress"}, {"value", std::string_view(at.host)}}};
  return status;
}

kube::Object route_status(const kube::Object& route, Wall now) {
  Array parents;
  for (const auto& parent : items(route, {"spec", "parentRefs"})) {
    auto entry = entry_for(items(route, {"status", "parents"}), parent);
    add(entry["conditions"], "Accepted", kube::generation_of(route), now);
    add(entry["conditions"], "ResolvedRefs", kube::generation_of(route), now);
    parents.push_back(std::move(entry));
  }
  kube::Object status;
  status["parents"] = std::move(parents);
  return status;
}

kube::Object pool_status(const kube::Object& pool, const std::vector<GatewayRef>& gateways,
                         Wall now) {
  const std::string_view member =
      kube::type_of(pool).group == "inference.networking.x-k8s.io" ? "parent" : "parents";
  Array parents;
  for (const auto& gateway : gateways) {
    kube::Object ref;
    ref["group"] = "gateway.networking.k8s.io";
    ref["kind"] = "Gateway";
    ref["name"] = gateway.name;
    ref["namespace"] = gateway.ns;
    auto entry = entry_for(items(pool, {"status", member}), ref);
    add(entry["conditions"], "Accepted", kube::generation_of(pool), now);
    add(entry["conditions"], "ResolvedRefs", kube::generation_of(pool), now);
    parents.push_back(std::move(entry));
  }
  kube::Object status;
  status[member] = std::move(parents);
  return status;
}

}  // namespace baton::local
