#pragma once
// What the makers of child objects share. Internal to control/plan.

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/core/result.hpp"
#include "control/plan/labels.hpp"
#include "control/plan/plan.hpp"

namespace baton::plan {

struct Build {
  const ServiceView& observed;
  const Value& service;  // merged and rendered, v1alpha2
  std::optional<std::string> picker_text;
  std::string name, ns;
  Plan& out;
  std::string revision = {};  // kv_revision(), before any pod is made

  const Value& spec() const;
  const Settings& settings() const { return observed.settings; }
  Split split() const;
  std::string child(std::string_view suffix) const;

  // Adds an object of the service's namespace, owned by the service.
  void add(Value object);
  void warn(std::string pointer, std::string message);
  // The object of that kind and name as the cluster has it, or null.
  const Value* live(std::string_view kind, std::string_view object_name) const;
};

// The engine pods of one role: those under /spec, or those under /spec/prefill.
struct Workload {
  const Value& spec;
  std::string pointer;    // "/spec", "/spec/prefill"
  std::string_view role;  // "both", "decode", "prefill"
  bool is_prefill() const { return role == "prefill"; }
  bool is_multi_node() const;
};

// "<name>-kserve", "-kserve-prefill", "-kserve-mn", "-kserve-mn-prefill".
std::string workload_name(const Build& build, const Workload& workload);

Workload main_workload(const Build& build);
std::optional<Workload> prefill_workload(const Build& build);

// The ServiceAccount of pods; accounts.hpp says how it is found.
struct Account {
  std::string name;  // "": the namespace's default
  bool is_ours = false;
};

// One of the pod specs of a workload.
struct PodPlace {
  const Workload& workload;
  std::string_view place;  // "template", "worker"
  Account account;
  const Value* live = nullptr;  // the pod spec as the cluster has it, or null
  std::string pointer() const;  // "/spec/prefill/template"
};

// The pod spec, ready to run: images, account, model, command line, tiers, devices, tracing.
Result<Value> pod_spec(Build& build, const PodPlace& place);
// Whether it has an init container of the routing sidecar's name.
bool has_routing_sidecar(const Value& pod);

// Pod metadata: `labels` with what the service hands down.
Value pod_metadata(const Build& build, const Workload& workload, Value labels);
// Sets metadata.annotations and adds labels from the service's own, as `kind` objects get them.
enum class Handed : bool { kDeployment, kLeaderWorkerSet };
void hand_down(const Build& build, Handed kind, Value& metadata);

Status add_multi_node(Build& build);
Status add_single_node(Build& build);
void add_workload_service(Build& build);
Status add_scaling(Build& build);
Status add_picker(Build& build);
Status add_route(Build& build);
void warn_of_useless_fields(Build& build);
void warn_of_useless_router_fields(Build& build);
// Labels in `in` that pods have otherwise, since selectors ask for them.
void warn_of_selected_labels(Build& build, const Value& in, std::string_view pointer);

// spec.router.scheduler.pool.spec.targets, the October 2025 form, as one flat pool. kInvalid:
// targets that select nothing in common, or have several ports.
Status flatten_pool_targets(Value& service, std::vector<Warning>& warnings);

// The ResourceClaimTemplate that annotations serving.kserve.io/exp-dra-… ask for, if they do.
void add_device_template(Build& build);

// The value of the label baton.dev/revision: equal for pods that can read each other's KV.
std::string kv_revision(const Build& build);

// The steps of pod_spec.
void choose_engine_image(const Build& build, Value& container);
void fit_sidecar(const Build& build, Value& pod);
// Of a container whose image is chosen.
bool is_own_sidecar(const Build& build, const Value& sidecar);
void fix_engine_command(Build& build, const PodPlace& place, Value& pod);
void remove_tls_volume(Value& pod);
void attach_kv_tiers(const Workload& workload, Value& pod);
void claim_devices(Build& build, const PodPlace& place, Value& pod);
void trace_engine(const Build& build, const Workload& workload, Value& pod);

// With a routing sidecar and a picker that are both Baton's: mounts the key that the picker signs
// routes with, and wishes for it.
void require_signed_routes(Build& build, Value& pod);
// Mounts it into the picker's pod, if a sidecar requires it.
void sign_routes(const Build& build, Value& pod);

// Variables that tell an OpenTelemetry SDK where traces go; what the container sets itself stays.
// `otel_name`: "inference-scheduler", "inference-server-decode" …
void add_tracing_env(const Build& build, std::string_view otel_name, Value& container);
// Whether a word of the list is the flag, alone or with "=value".
bool has_flag(const Value& container, std::string_view list, std::string_view flag);

}  // namespace baton::plan
