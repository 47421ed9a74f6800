// The endpoint picker and the pool it picks from.

#include <fmt/format.h>

#include <algorithm>

#include "base/text/yaml.hpp"
#include "control/plan/build.hpp"
#include "control/plan/child_name.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/presets.hpp"
#include "formats/api/convert.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kComponentName = "llminferenceservice-router-scheduler";
constexpr std::string_view kRbac = "rbac.authorization.k8s.io";

Value labels(const Build& build) { return component_labels(build.name, kComponentName); }

const Value& scheduler(const Build& build) {
  return *build.spec().find_path({"router", "scheduler"});
}

Value rule(Array groups, Array resources, Array verbs) {
  return Object{{"apiGroups", std::move(groups)},
                {"resources", std::move(resources)},
                {"verbs", std::move(verbs)}};
}

Value role_rules() {
  const Array read{"get", "list", "watch"};
  const std::string_view v1 = "inference.networking.k8s.io";
  const std::string_view x = "inference.networking.x-k8s.io";
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

void add_rbac(Build& build, std::string_view account, bool is_ours) {
  if (is_ours) build.add(object("v1", "ServiceAccount", build.ns, account, labels(build)));
  const Value subjects =
      Array{Object{{"kind", "ServiceAccount"}, {"name", account}, {"namespace", build.ns}}};

  // Cluster-scoped, so nobody's child: whoever deletes the service deletes it.
  Value cluster =
      binding("ClusterRoleBinding", "",
              child_name(build.ns, fmt::format("-{}-epp-auth-rb", build.name)), labels(build));
  cluster["roleRef"] =
      Object{{"apiGroup", kRbac}, {"kind", "ClusterRole"}, {"name", "system:auth-delegator"}};
  cluster["subjects"] = subjects;
  build.out.children.push_back(std::move(cluster));

  const std::string role_name = build.child("-epp-role");
  Value role = binding("Role", build.ns, role_name, labels(build));
  role["rules"] = role_rules();
  build.add(std::move(role));
  Value bound = binding("RoleBinding", build.ns, build.child("-epp-rb"), labels(build));
  bound["roleRef"] = Object{{"apiGroup", kRbac}, {"kind", "Role"}, {"name", role_name}};
  bound["subjects"] = subjects;
  build.add(std::move(bound));
}

// "--config-text", "-configFile" …
bool is_config_flag(std::string_view word) {
  word = word.substr(0, word.find('='));
  if (word.starts_with("--")) word.remove_prefix(1);
  return word == "-config-text" || word == "-configText" || word == "-config-file" ||
         word == "-configFile";
}

bool has_word(const Value& container, auto&& wanted) {
  for (const std::string_view list : {"command", "args"}) {
    const Value* words = container.find(list);
    if (words == nullptr || !words->is_array()) continue;
    for (const Value& word : *words->if_array()) {
      if (word.is_string() && wanted(*word.if_string())) return true;
    }
  }
  return false;
}

bool is_leader_election(std::string_view word) {
  return word.starts_with("--ha-enable-leader-election") ||
         word.starts_with("-ha-enable-leader-election");
}

// What the user says is passed on as it is; nothing said gets the default for this shape.
std::string config_text(const Build& build) {
  if (build.picker_text) return *build.picker_text;
  if (const Value* given = get(scheduler(build), {"config", "inline"})) {
    return text::yaml::dump(*given);
  }
  const bool seed = build.settings().picker_default == Settings::PickerDefault::kSeed;
  return std::string(picker_text(fmt::format("{}-{}.yaml", seed ? "seed" : "current",
                                             build.split() == Split::kYes ? "pd" : "single")));
}

void add_arguments(const Build& build, Value& main) {
  Array args;
  if (const Value* present = main.find("args"); present != nullptr && present->is_array()) {
    args = *present->if_array();
  }
  const Value* replicas = get(scheduler(build), {"replicas"});
  if (replicas != nullptr && replicas->if_int().value_or(1) > 1 &&
      !has_word(main, is_leader_election)) {
    args.emplace_back("--ha-enable-leader-election");
  }
  const bool given = build.picker_text || get(scheduler(build), {"config", "inline"}) != nullptr;
  if (given || !has_word(main, is_config_flag)) {
    args.emplace_back("--config-text");
    args.emplace_back(config_text(build));
  }
  main["args"] = std::move(args);
}

Value deployment(const Build& build) {
  Value pod = *scheduler(build).find("template");
  if (!build.settings().enable_tls) remove_tls_volume(pod);
  if (Value* main = named(pod.find("containers"), "main")) add_arguments(build, *main);

  const std::string name = build.child("-kserve-router-scheduler");
  Value out = object("apps/v1", "Deployment", build.ns, name, labels(build));
  Value metadata = Object{{"labels", labels(build)}};
  for (const std::string_view map : {"labels", "annotations"}) {
    if (const Value* from = get(scheduler(build), {map})) {
      for (const auto& [key, value] : *from->if_object()) metadata[map][key] = value;
    }
  }
  Value spec;
  const Value* replicas = get(scheduler(build), {"replicas"});
  if (replicas == nullptr) {
    const Value* live = build.live("Deployment", name);
    replicas = live == nullptr ? nullptr : get(*live, {"spec", "replicas"});
  }
  if (replicas != nullptr) spec["replicas"] = *replicas;
  spec["selector"] = Object{{"matchLabels", labels(build)}};
  spec["strategy"] = Object{{"type", "Recreate"}};
  spec["template"] = Object{{"metadata", std::move(metadata)}, {"spec", std::move(pod)}};
  out["spec"] = std::move(spec);
  return out;
}

Value service(const Build& build) {
  static constexpr std::string_view kPorts[] = {"grpc", "grpc-health", "metrics", "zmq"};
  std::string_view name = scheduler(build).string_at({"pool", "spec", "endpointPickerRef", "name"});
  const std::string fallback = build.child("-epp-service");
  if (name.empty()) name = fallback;
  Array ports;
  const Value* containers = get(scheduler(build), {"template", "containers"});
  if (containers != nullptr && containers->is_array()) {
    for (const Value& container : *containers->if_array()) {
      const Value* open = get(container, {"ports"});
      if (open == nullptr || !open->is_array()) continue;
      for (const Value& port : *open->if_array()) {
        const std::string_view label = port.string_at({"name"});
        const Value* number = port.find("containerPort");
        if (std::ranges::find(kPorts, label) == std::end(kPorts) || number == nullptr) continue;
        ports.push_back(
            Object{{"name", label}, {"protocol", "TCP"}, {"port", *number}, {"targetPort", label}});
      }
    }
  }
  std::ranges::sort(ports, {}, [](const Value& port) { return port.string_at({"name"}); });
  Value out = object("v1", "Service", build.ns, name, labels(build));
  out["spec"] = Object{{"selector", labels(build)}, {"ports", std::move(ports)}};
  return out;
}

}  // namespace

void add_picker(Build& build) {
  if (get(build.spec(), {"router", "scheduler", "template"}) == nullptr) return;
  if (get(scheduler(build), {"pool", "ref"}) != nullptr) return;
  const std::string_view account = scheduler(build).string_at({"template", "serviceAccountName"});
  add_rbac(build, account, account == build.child("-epp-sa"));
  build.add(deployment(build));
  build.add(service(build));

  const Value& spec = *scheduler(build).find_path({"pool", "spec"});
  Value pool = object("inference.networking.k8s.io/v1", "InferencePool", build.ns,
                      build.child("-inference-pool"), labels(build));
  pool["spec"] = spec;
  build.add(std::move(pool));
  if (!build.settings().serves_x_pools) return;
  Value x_pool = object("inference.networking.x-k8s.io/v1alpha2", "InferencePool", build.ns,
                        build.child("-inference-pool"), labels(build));
  x_pool["spec"] = api::pool_spec_to_x(spec);
  build.add(std::move(x_pool));
}

}  // namespace baton::plan
