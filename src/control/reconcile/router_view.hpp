#pragma once
// What the router part of a status is made from. A view: everything outlives it.

#include <string_view>
#include <vector>

#include "control/reconcile/installation.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

using Objects = std::vector<const kube::Object*>;

struct RouterView {
  const kube::Object& merged;  // the service after its configurations
  Objects routes;              // managed or referenced, those that exist
  Objects pools;               // own ones or the referenced one, v1 before x-k8s
  Objects gateways;            // those that exist of all that routes and refs name
  Objects services;            // Services of those gateways' namespaces, and the service's own
  const Installation& installation;
};

// The gateway that a parentRef or gateway ref means, seen from namespace `ns`; null: not there.
const kube::Object* find_gateway(const Objects& gateways, const kube::Object& ref,
                                 std::string_view ns);
// "ns/name" of such a reference.
std::string text_of(const kube::Object& ref, std::string_view ns);
// Whether it is a reference to a Gateway (the default kind of parentRefs).
bool is_gateway_ref(const kube::Object& ref);

}  // namespace baton::reconcile
