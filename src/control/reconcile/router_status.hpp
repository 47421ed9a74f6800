#pragma once
// The part of a service's status that tells of routes, gateways and pools. Pure.

#include <vector>

#include "control/plan/plan.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

struct RouterView {
  const kube::Object& service;
  const kube::Object& merged;
  const std::vector<kube::Object>& children;
  const std::vector<kube::Object>& gateways;
  const plan::Settings& settings;
};

// GatewaysReady, HTTPRoutesReady and InferencePoolReady, those that apply.
// A pool without a route is ready when anything accepted it (upstream it never is).
std::vector<kube::Condition> router_conditions(const RouterView& view);

// status.url, status.addresses, status.router.
void put_addresses(const RouterView& view, kube::Object& status);

}  // namespace baton::reconcile
