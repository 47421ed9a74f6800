#pragma once
// Whether a service's routes, gateways and pools are there and ready, and the routing part of its
// status. Pure. Controller reference 5.5 and 5.6.

#include <optional>

#include "control/plan/plan.hpp"
#include "control/reconcile/addresses.hpp"
#include "control/reconcile/conditions.hpp"
#include "control/reconcile/router_view.hpp"

namespace baton::reconcile {

// The condition of the first gateway or route that is referred to and does not exist, reason
// RefsInvalid. `planned_route`: the managed route as it will be, or null.
std::optional<kube::Condition> invalid_reference(const RouterView& view,
                                                 const kube::Object* planned_route);

// GatewaysReady, HTTPRoutesReady and InferencePoolReady: set where they apply, else removed.
// Without any route a pool is ready unless something refused it (upstream it never is).
void put_router_conditions(const RouterView& view, Conditions& conditions);

// status.url, status.addresses, status.router; all are removed where there is nothing to tell.
void put_routing(const RouterView& view, const std::vector<Address>& addresses,
                 const std::optional<plan::Group>& group, kube::Object& status);

}  // namespace baton::reconcile
