#pragma once
// Traffic-split groups (spec.router.route.group): services of one namespace that answer to the same
// model names share the traffic to these names by weight. Every member's route carries the same
// weighted backends. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "control/plan/plan.hpp"

namespace baton::plan {

// The model names a service answers to, base model and LoRA adapters, plain, sorted, unique: those
// of status.addresses when there are any (they come from the merged spec), else those of its spec.
std::vector<std::string> model_names(const Value& service);
// Those of the spec.
std::vector<std::string> spec_model_names(const Value& service);

std::string_view group_of(const Value& service);

// Whether a peer can be sent traffic: RouterReady, or but for its own route, which gateways have
// yet to accept; and a ready replica of each workload it has.
bool is_routable(const Value& service);

// The service with a status as if it ran, when it has none: for plans of files, where no cluster
// tells which members of a group are up.
Value as_if_running(Value service);

struct GroupView {
  const Value& self;  // merged; always a member
  const std::vector<Value>& peers;
  std::string_view pool_group;  // of backends that are pools
};
// The members by name: self, and peers of its group that are not being deleted, are stopped or
// routable, and answer to the same names. A stopped one has no status to tell its names: it must
// have self's model in its spec.
Group traffic_group(const GroupView& view);

// Rules that send something to the service's own pool or Service, outside the service's own path
// /<namespace>/<name>, get the members that are not stopped as their backends.
void split_traffic(const Group& group, const Value& self, Value& route_spec);

}  // namespace baton::plan
