#pragma once
// What the gateway's own controller would write into Gateway, HTTPRoute and InferencePool when one
// gateway in this process serves them all. Pure.

#include <optional>
#include <string>
#include <vector>

#include "net/kube/cluster.hpp"

namespace baton::local {

struct GatewayAt {
  std::string host;
  std::uint16_t port = 0;
  bool is_tls = false;
};

struct GatewayRef {
  std::string ns, name;
  friend auto operator<=>(const GatewayRef&, const GatewayRef&) = default;
};

// The gateways a route attaches to.
std::vector<GatewayRef> parents_of(const kube::Object& route);
// spec.router.gateway.refs of a service.
std::vector<GatewayRef> gateways_of(const kube::Object& service);
// The pools a route sends to, "ns/name".
std::vector<std::string> pools_of(const kube::Object& route);

// A Gateway that a manifest names but does not define.
kube::Object hosted_gateway(const GatewayRef& ref, const GatewayAt& at);

kube::Object gateway_status(const kube::Object& gateway, const GatewayAt& at, Wall now);
kube::Object route_status(const kube::Object& route, Wall now);
// v1 pools list parents under status.parents, x-k8s ones under status.parent.
kube::Object pool_status(const kube::Object& pool, const std::vector<GatewayRef>& gateways,
                         Wall now);

}  // namespace baton::local
