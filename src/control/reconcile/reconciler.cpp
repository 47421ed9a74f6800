#include "control/reconcile/reconciler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/log.hpp"
#include "control/reconcile/apply.hpp"
#include "control/reconcile/service_status.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

namespace {

const kube::Type kService{"serving.kserve.io", "v1alpha2", "LLMInferenceService"};
const kube::Type kServiceConfig{"serving.kserve.io", "v1alpha2", "LLMInferenceServiceConfig"};
const kube::Type kConfigMap{"", "v1", "ConfigMap"};
const kube::Type kGateway{"gateway.networking.k8s.io", "v1", "Gateway"};
const kube::Type kClusterRoleBinding{"rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"};

// What a service may own; each is looked through on every pass.
const std::vector<kube::Type>& child_kinds() {
  static const std::vector<kube::Type> kKinds = {
      {"", "v1", "ServiceAccount"},
      {"rbac.authorization.k8s.io", "v1", "Role"},
      {"rbac.authorization.k8s.io", "v1", "RoleBinding"},
      kClusterRoleBinding,
      {"", "v1", "Secret"},
      kConfigMap,
      {"apps", "v1", "Deployment"},
      {"leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet"},
      {"", "v1", "Service"},
      {"inference.networking.k8s.io", "v1", "InferencePool"},
      {"inference.networking.x-k8s.io", "v1alpha2", "InferencePool"},
      {"gateway.networking.k8s.io", "v1", "HTTPRoute"},
  };
  return kKinds;
}

constexpr std::string_view kFinalizer = "serving.kserve.io/llmisvc-finalizer";
constexpr Nanos kPassBudget = std::chrono::seconds(60);

std::string key_text(std::string_view ns, std::string_view name) {
  return fmt::format("{}/{}", ns, name);
}

// The service that owns the child, as a key; "" when none does.
std::string owner_key(const kube::Object& child) {
  const auto* refs = child.find_path({"metadata", "ownerReferences"});
  if (refs == nullptr || refs->if_array() == nullptr) return "";
  for (const auto& ref : *refs->if_array()) {
    if (ref.string_at({"kind"}) == kService.kind) {
      return key_text(kube::namespace_of(child), ref.string_at({"name"}));
    }
  }
  return "";
}

bool has_finalizer(const kube::Object& service) {
  const auto* list = service.find_path({"metadata", "finalizers"});
  if (list == nullptr || list->if_array() == nullptr) return false;
  return std::ranges::any_of(*list->if_array(), [](const kube::Object& f) {
    return f.is_string() && *f.if_string() == kFinalizer;
  });
}

}  // namespace

// What one pass has found out so far.
struct Reconciler::Pass {
  kube::Object service;
  Deadline deadline;
  std::optional<plan::Plan> plan;
  std::optional<Error> plan_error, apply_error;
  std::vector<kube::Object> children;
};

Reconciler::Reconciler(Deps deps, plan::Settings settings)
    : deps_(deps),
      settings_(std::move(settings)),
      recorder_(deps.cluster, deps.clock),
      queue_(deps.clock),
      worker_([this] { work(); }) {
  follow(kService, [this](const kube::Object& service) {
    queue_.add(key_text(kube::namespace_of(service), kube::name_of(service)));
  });
  const auto by_namespace = [this](const kube::Object& object) {
    const auto ns = kube::namespace_of(object);
    add_all(ns == settings_.system_namespace ? "" : ns);
  };
  follow(kServiceConfig, by_namespace);
  follow(kGateway, [this](const kube::Object&) { add_all(""); });
  for (const auto& kind : child_kinds()) {
    follow(kind, [this, by_namespace, kind](const kube::Object& child) {
      if (auto owner = owner_key(child); !owner.empty()) {
        queue_.add(owner);
      } else if (kind == kConfigMap) {
        by_namespace(child);
      }
    });
  }
}

Reconciler::~Reconciler() {
  followers_.clear();
  queue_.close();
  worker_.join();
}

void Reconciler::follow(const kube::Type& type,
                        std::function<void(const kube::Object&)> on_change) {
  followers_.push_back(std::make_unique<kube::Follower>(
      deps_.cluster, deps_.clock, kube::Query{type, "", {}},
      [on_change = std::move(on_change)](const kube::Event& event) { on_change(event.object); }));
}

// Every service of the namespace; of all with "".
void Reconciler::add_all(std::string_view ns) {
  const auto services =
      list({kService, std::string(ns), {}}, Deadline::in(deps_.clock, kPassBudget));
  if (!services) return;
  for (const auto& service : *services) {
    queue_.add(key_text(kube::namespace_of(service), kube::name_of(service)));
  }
}

void Reconciler::work() {
  while (const auto key = queue_.next()) {
    const auto slash = key->find('/');
    const auto done = reconcile(key->substr(0, slash), key->substr(slash + 1));
    if (done || done.error().code() == Code::kNotFound) {
      queue_.forget(*key);
    } else {
      queue_.retry(*key);
    }
    queue_.done(*key);
  }
}

Result<std::vector<kube::Object>> Reconciler::list(const kube::Query& query, Deadline deadline) {
  BATON_TRY_ASSIGN(auto found, deps_.cluster.list(query, deadline));
  return std::move(found.items);
}

Result<plan::ServiceView> Reconciler::observe(const kube::Object& service, Deadline deadline) {
  plan::ServiceView view;
  view.service = service;
  view.settings = settings_;
  const std::string ns(kube::namespace_of(service));
  std::vector<std::string> places{ns};
  if (ns != settings_.system_namespace) places.push_back(settings_.system_namespace);
  for (const auto& place : places) {
    BATON_TRY_ASSIGN(auto configs, list({kServiceConfig, place, {}}, deadline));
    std::ranges::move(configs, std::back_inserter(view.configs));
    BATON_TRY_ASSIGN(auto maps, list({kConfigMap, place, {}}, deadline));
    std::ranges::move(maps, std::back_inserter(view.config_maps));
  }
  for (const auto& kind : child_kinds()) {
    if (kind == kClusterRoleBinding) continue;
    BATON_TRY_ASSIGN(auto objects, list({kind, ns, {}}, deadline));
    for (auto& object : objects) {
      if (kube::controller_uid(object) == kube::uid_of(service)) {
        view.children.push_back(std::move(object));
      }
    }
  }
  return view;
}

Status Reconciler::apply(Pass& pass) {
  Applier applier(deps_.cluster, pass.service, pass.deadline,
                  [&](std::string_view done, const kube::Object& object) {
                    recorder_.record(pass.service, EventType::kNormal, done,
                                     fmt::format("{} {} {}", done, object.string_at({"kind"}),
                                                 kube::name_of(object)));
                  });
  if (!pass.plan->wishes.empty()) {
    return unsupported(fmt::format("Secret {}: TLS certificates are not made here: turn TLS off",
                                   pass.plan->wishes.front().name));
  }
  // What goes is removed first, as upstream does: a topology change frees its accelerators.
  BATON_TRY(applier.remove_unplanned(child_kinds(), pass.plan->children));
  for (const auto& child : pass.plan->children) {
    BATON_TRY_ASSIGN(auto live, applier.apply(child));
    pass.children.push_back(std::move(live));
  }
  return {};
}

Status Reconciler::reconcile(const std::string& ns, const std::string& name) {
  const auto deadline = Deadline::in(deps_.clock, kPassBudget);
  Pass pass;
  pass.deadline = deadline;
  BATON_TRY_ASSIGN(pass.service, deps_.cluster.get({kService, ns, name}, deadline));
  if (kube::is_deleting(pass.service)) return finalize(pass.service, deadline);
  if (!has_finalizer(pass.service)) return add_finalizer(pass.service, deadline);

  BATON_TRY_ASSIGN(const auto view, observe(pass.service, deadline));
  auto planned = plan::plan(view);
  if (planned) {
    pass.plan = *std::move(planned);
    if (auto applied = apply(pass); !applied) pass.apply_error = applied.error();
  } else {
    pass.plan_error = planned.error();
  }
  BATON_TRY(write_status(pass, deadline));
  if (!pass.apply_error) return {};
  if (pass.apply_error->code() != Code::kConflict) {
    recorder_.record(pass.service, EventType::kWarning, "Error",
                     "Reconciliation failed: " + pass.apply_error->message());
  }
  return *pass.apply_error;
}

Status Reconciler::write_status(const Pass& pass, Deadline deadline) {
  BATON_TRY_ASSIGN(auto gateways, list({kGateway, "", {}}, deadline));
  Observed observed{.service = pass.service,
                    .plan = pass.plan ? &*pass.plan : nullptr,
                    .plan_error = pass.plan_error,
                    .apply_error = pass.apply_error,
                    .children = pass.children,
                    .gateways = std::move(gateways),
                    .settings = settings_};
  kube::Object next = pass.service;
  next["status"] = service_status(observed, deps_.clock.wall());
  const auto* before = pass.service.find("status");
  if (before != nullptr && *before == *next.find("status")) return {};
  BATON_TRY(deps_.cluster.update_status(next, deadline));

  const auto* old_generation = pass.service.find_path({"status", "observedGeneration"});
  const bool fresh = old_generation == nullptr ||
                     old_generation->if_int().value_or(0) != kube::generation_of(pass.service);
  if (fresh && pass.plan) {
    for (const auto& warning : pass.plan->warnings) {
      recorder_.record(next, EventType::kWarning, warning.reason,
                       warning.pointer + ": " + warning.message);
    }
  }
  if (fresh && pass.plan_error) {
    recorder_.record(next, EventType::kWarning, "Error", pass.plan_error->message());
  }
  const bool was = kube::condition_is(pass.service, "Ready", "True");
  const bool is = kube::condition_is(next, "Ready", "True");
  if (is && !was) {
    recorder_.record(next, EventType::kNormal, "LLMInferenceServiceReady", "service is ready");
  } else if (was && !is) {
    recorder_.record(next, EventType::kWarning, "LLMInferenceServiceNotReady",
                     "not ready: " + false_conditions(next));
  }
  return {};
}

Status Reconciler::add_finalizer(const kube::Object& service, Deadline deadline) {
  kube::Object next = service;
  next["metadata"]["finalizers"].push_back(kFinalizer);
  BATON_TRY(deps_.cluster.update(next, kube::DryRun::kNo, deadline));
  return {};  // the change brings it here again
}

// The ClusterRoleBinding cannot be owned by a namespaced service: it goes by hand, the rest follows
// the service.
Status Reconciler::finalize(const kube::Object& service, Deadline deadline) {
  if (!has_finalizer(service)) return {};
  Applier applier(deps_.cluster, service, deadline, [](std::string_view, const kube::Object&) {});
  BATON_TRY(applier.remove_unplanned({kClusterRoleBinding}, {}));
  kube::Object next = service;
  std::erase_if(*next["metadata"]["finalizers"].if_array(), [](const kube::Object& f) {
    return f.is_string() && *f.if_string() == kFinalizer;
  });
  BATON_TRY(deps_.cluster.update(next, kube::DryRun::kNo, deadline));
  return {};
}

}  // namespace baton::reconcile
