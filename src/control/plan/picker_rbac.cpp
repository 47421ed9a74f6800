// What the endpoint picker may read, and the account it does so with. Controller reference 4.9.

#include <fmt/format.h>

#include <utility>

#include "control/plan/build.hpp"
#include "control/plan/child_name.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/picker.hpp"
#include "control/plan/pool_migration.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kRbac = "rbac.authorization.k8s.io";
constexpr std::string_view kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";

Value rule(Array groups, Array resources, Array verbs) {
  return Object{{"apiGroups", std::move(groups)},
                {"resources", std::move(resources)},
                {"verbs", std::move(verbs)}};
}

Value role_rules() {
  const Array read{"get", "list", "watch"};
  const std::string_view v1 = kPoolGroupV1;
  const std::string_view x = kPoolGroupX;
  return Array{rule({""}, {"pods"}, read),
               rule({v1, x}, {"inferencepools", "inferenceobjectives", "inferencemodels"}, read),
               rule({x}, {"inferencemodelrewrites", "inferencepoolimports"}, read),
               rule({"llm-d.ai"}, {"inferenceobjectives", "inferencemodelrewrites"}, read),
               rule({"discovery.k8s.io"}, {"endpointslices"}, read),
               rule({"coordination.k8s.io"}, {"leases"},
                    {"get", "list", "watch", "create", "update", "patch", "delete"})};
}

Value binding(std::string_view kind, std::string_view ns, std::string_view name, Value labels) {
  return object("rbac.authorization.k8s.io/v1", kind, ns, name, std::move(labels));
}

// Ours fetches images and models with what the engines' account has: the account that the main
// template names, if it is there, else the namespace's default.
Value own_account(const Build& build, std::string_view name) {
  Value out = object("v1", "ServiceAccount", build.ns, name, picker_labels(build));
  const Value* base =
      live_account(build, build.spec().string_at({"template", "serviceAccountName"}));
  if (base == nullptr) base = live_account(build, "default");
  if (base == nullptr) return out;
  if (const Value* annotations = get(*base, {"metadata", "annotations"})) {
    for (const auto& [key, value] : *annotations->if_object()) {
      if (key != kLastApplied) out["metadata"]["annotations"][key] = value;
    }
  }
  for (const std::string_view list : {"secrets", "imagePullSecrets"}) {
    if (!items(get(*base, {list})).empty()) out[list] = *base->find(list);
  }
  return out;
}

}  // namespace

Status add_picker_account(Build& build) {
  const std::string_view name =
      build.spec().string_at({"router", "scheduler", "template", "serviceAccountName"});
  const Account account{std::string(name), name == build.child("-epp-sa")};
  BATON_TRY(check_account(build, account, "/spec/router/scheduler/template"));
  if (account.is_ours) build.add(own_account(build, name));
  const Value subjects =
      Array{Object{{"kind", "ServiceAccount"}, {"name", name}, {"namespace", build.ns}}};

  // Cluster-scoped, so nobody's child: whoever deletes the service deletes it.
  Value cluster = binding("ClusterRoleBinding", "",
                          child_name(build.ns, fmt::format("-{}-epp-auth-rb", build.name)),
                          picker_labels(build));
  cluster["roleRef"] =
      Object{{"apiGroup", kRbac}, {"kind", "ClusterRole"}, {"name", "system:auth-delegator"}};
  cluster["subjects"] = subjects;
  build.out.children.push_back(std::move(cluster));

  const std::string role_name = build.child("-epp-role");
  Value role = binding("Role", build.ns, role_name, picker_labels(build));
  role["rules"] = role_rules();
  build.add(std::move(role));
  Value bound = binding("RoleBinding", build.ns, build.child("-epp-rb"), picker_labels(build));
  bound["roleRef"] = Object{{"apiGroup", kRbac}, {"kind", "Role"}, {"name", role_name}};
  bound["subjects"] = subjects;
  build.add(std::move(bound));
  return {};
}

}  // namespace baton::plan
