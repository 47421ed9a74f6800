#pragma once
// Where a service can be reached: addresses and URL from routes, gateways and Services. Pure.
// Controller reference 5.6.

#include <string>
#include <vector>

#include "control/reconcile/router_view.hpp"

namespace baton::reconcile {

struct Address {
  std::string url;
  std::string name;     // gateway-external, gateway-internal, internal, + -model-routing
  kube::Object origin;  // {group, kind, name, namespace}; null for the workload Service
  std::vector<std::string> models;  // what may be asked for there
  bool external = false;
};

// Sorted by URL. kNotFound: a route names a gateway that is not there. kInvalid: a gateway has no
// listener that the route could use.
Result<std::vector<Address>> addresses_of(const RouterView& view);

// "" without addresses.
std::string preferred_url(const RouterView& view, const std::vector<Address>& addresses);

// status.addresses.
kube::Object to_status(const std::vector<Address>& addresses);

}  // namespace baton::reconcile
