#include "control/reconcile/service_pass.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/core/log.hpp"
#include "control/plan/child_name.hpp"
#include "control/reconcile/ca_bundle.hpp"
#include "control/reconcile/fields.hpp"
#include "control/reconcile/kinds.hpp"
#include "control/reconcile/references.hpp"
#include "control/reconcile/routing_key.hpp"
#include "net/kube/digest.hpp"

namespace baton::reconcile {

namespace {

using kube::Object;
using text::json::Array;

constexpr Nanos kCatchUp = std::chrono::seconds(2);         // waited for the cache in one go
constexpr Nanos kGiveUpOnCache = std::chrono::seconds(30);  // then the write is taken as undone
constexpr Nanos kSoon = std::chrono::seconds(1);
constexpr Nanos kGroupPoll = std::chrono::seconds(5);

Step step_of_stage(plan::Stage stage) {
  switch (stage) {
    case plan::Stage::kMultiNode:
      return Step::kMultiNode;
    case plan::Stage::kSingleNode:
      return Step::kSingleNode;
    case plan::Stage::kWorkloadService:
      return Step::kWorkloadService;
    case plan::Stage::kScaling:
      return Step::kScaling;
    case plan::Stage::kScheduler:
      return Step::kScheduler;
    case plan::Stage::kRoute:
      return Step::kRoute;
    case plan::Stage::kService:
    case plan::Stage::kFindConfigs:
    case plan::Stage::kCombine:
    case plan::Stage::kCheckMerged:
      break;
  }
  return Step::kSecret;
}

bool before_children(plan::Stage stage) { return stage <= plan::Stage::kCheckMerged; }

kube::Condition presets(std::string_view status, std::string_view reason,
                        std::string_view message) {
  return {"PresetsCombined", std::string(status), std::string(reason), std::string(message), ""};
}

// A Secret of the service, without data.
Object secret_frame(const Object& service, const plan::Wish& wish) {
  Object out;
  out["apiVersion"] = "v1";
  out["kind"] = "Secret";
  auto& metadata = out["metadata"];
  metadata["name"] = wish.name;
  metadata["namespace"] = wish.ns;
  metadata["labels"]["app.kubernetes.io/component"] = "llminferenceservice-workload";
  metadata["labels"][kNameLabel] = kube::name_of(service);
  metadata["labels"][kPartOfLabel] = kPartOf;
  metadata["ownerReferences"].push_back(kube::controller_reference(service));
  return out;
}

}  // namespace

Result<std::optional<Nanos>> ServicePass::run(const kube::SnapshotPtr& service) {
  const auto patience = Deadline::in(deps_.clock, kCatchUp).earlier(deadline_);
  for (const auto& expected : memory_.expectations) {
    if (deps_.cache.has_seen(expected, patience)) continue;
    if (deps_.clock.now() - memory_.written_at < kGiveUpOnCache) {
      return std::optional<Nanos>(kSoon);
    }
    log::warn("the watch does not show what was written",
              {{"object", kube::to_string(expected.key)}, {"version", expected.version}});
    break;
  }
  memory_.expectations.clear();
  // Waiting may have brought a newer one.
  const auto& object = service->object;
  const auto fresh = deps_.cache.get(
      {kService, std::string(kube::namespace_of(object)), std::string(kube::name_of(object))});
  if (!fresh) return std::optional<Nanos>();
  if (kube::is_deleting(fresh->object)) return finalize(fresh->object);
  if (!has_finalizer(fresh->object, plan::kServiceFinalizer)) {
    BATON_TRY(change_finalizer(fresh->object, Finalizer::kAdd));
    return std::optional<Nanos>();  // the change brings it here again
  }
  BATON_TRY_ASSIGN(const auto seen,
                   observe(deps_.cache, deps_.config_maps, base_, fresh, deadline_));
  // A new verdict is a change like any other.
  const auto fingerprint =
      seen.fingerprint() ^
      (deps_.prober == nullptr ? 0 : deps_.prober->revision(service_key(fresh->object)));
  if (memory_.settled == fingerprint) return std::optional<Nanos>();
  memory_.settled.reset();

  const bool stopped = plan::is_stopped(fresh->object);
  auto attempt = plan::attempt(seen.view());
  auto judgement = judge(attempt, stopped);
  std::optional<StepFailure> failure;
  if (judgement.combined || stopped) failure = apply(seen, attempt, stopped);
  const auto router = router_view(seen, attempt.plan.merged);
  std::vector<Address> addresses;
  if (judgement.combined && !stopped && !failure) {
    if (auto found = addresses_of(router)) {
      addresses = *std::move(found);
    } else {
      failure = StepFailure{Step::kRoute, found.error(), std::nullopt};
    }
  }
  Objects children;
  for (const auto& child : live_) children.push_back(&child->object);
  const Outcome outcome{.service = fresh->object,
                        .stopped = stopped,
                        .presets = judgement.condition,
                        .combined = judgement.combined,
                        .failure = std::move(failure),
                        .plan = attempt.plan,
                        .children = std::move(children),
                        .router = router,
                        .addresses = addresses,
                        .image_volumes = image_volumes(attempt.plan),
                        .transfer = transfer(seen, router, addresses)};
  const bool wrote = !memory_.expectations.empty();
  BATON_TRY(write_status(fresh->object, outcome));
  if (outcome.failure) return outcome.failure->error;
  if (judgement.retry) return *judgement.retry;
  if (!wrote && memory_.expectations.empty() && !again_) memory_.settled = fingerprint;
  return again_;
}

ServicePass::Judgement ServicePass::judge(const plan::Attempt& attempt, bool stopped) {
  std::string_view status = "False";
  std::string_view reason;
  std::optional<Error> error;
  bool retry = false;
  if (attempt.failure && before_children(attempt.failure->stage)) {
    reason = plan::reason(attempt.failure->stage);
    error = attempt.failure->error;
    // What is missing or wrong stays so until somebody changes it, and that brings it here again.
    retry = attempt.failure->stage == plan::Stage::kCombine;
  } else if (auto refusal = stopped ? std::nullopt : validate(attempt.plan)) {
    const bool invalid = refusal->code() == Code::kInvalid;
    status = invalid ? "False" : "Unknown";
    reason = invalid ? "InvalidRenderedConfig" : "ValidationUnavailable";
    retry = !invalid;
    error = std::move(refusal);
  }
  if (!error) return {presets("True", "", ""), std::nullopt, true};
  if (stopped) {
    return {presets("False", "Stopped", "Service is stopped with warning: " + error->message()),
            std::nullopt, false};
  }
  return {presets(status, reason, error->message()), retry ? error : std::nullopt, false};
}

// The API server's own word on the merged service: all admission runs, nothing is stored.
std::optional<Error> ServicePass::validate(const plan::Plan& plan) {
  Object probe;
  probe["apiVersion"] = kService.api_version();
  probe["kind"] = kService.kind;
  auto& metadata = probe["metadata"];
  metadata["generateName"] = plan::child_name(kube::name_of(plan.merged), plan::kValidationSuffix);
  metadata["namespace"] = kube::namespace_of(plan.merged);
  const auto copy = [&](std::string_view member) {
    const auto* value = plan.merged.find_path({"metadata", member});
    if (value != nullptr) metadata[member] = *value;
  };
  copy("annotations");
  if (auto* annotations = metadata.find("annotations")) {
    annotations->if_object()->erase("kubectl.kubernetes.io/last-applied-configuration");
  }
  const auto& spec = *plan.merged.find("spec");
  // The server took its labels when it stored the service itself.
  const auto digest = kube::digest(probe) + 31 * kube::digest(spec);
  if (memory_.validated == digest) return memory_.refusal;
  copy("labels");
  probe["spec"] = spec;
  const auto made = deps_.cluster.create(probe, kube::DryRun::kYes, deadline_);
  if (!made && made.error().code() != Code::kInvalid) return made.error();
  memory_.validated = digest;
  memory_.refusal.reset();
  if (!made) {
    memory_.refusal =
        invalid(fmt::format("dry-run validation failed after merging configs [{}]: {}",
                            fmt::join(plan.applied_configs, ", "), made.error().message()));
  }
  return memory_.refusal;
}

Tell ServicePass::teller() {
  return [this](std::string_view done, const Object& object) { deeds_.add(done, object); };
}

std::optional<StepFailure> ServicePass::remove_unplanned(Applier& applier, const Observation& seen,
                                                         const plan::Plan& plan, Step limit) {
  std::set<std::pair<kube::Type, std::string>> wanted;
  for (const auto& child : plan.children) {
    wanted.emplace(kube::type_of(child), kube::name_of(child));
  }
  for (const auto& wish : plan.wishes) {
    if (wish.kind != plan::Wish::Kind::kCaBundle) wanted.emplace(kSecret, wish.name);
  }
  for (const auto& child : seen.children) {
    const auto step = reconcile::step_of(child->object);
    // A binding is found by its name, and may be another service's.
    if (step >= limit || !applier.controls(child->object)) continue;
    if (wanted.contains(
            {kube::type_of(child->object), std::string(kube::name_of(child->object))})) {
      continue;
    }
    if (auto removed = applier.remove(child->object); !removed) {
      return StepFailure{step, removed.error(), std::nullopt};
    }
  }
  return std::nullopt;
}

std::optional<StepFailure> ServicePass::apply(const Observation& seen, const plan::Attempt& attempt,
                                              bool stopped) {
  const auto& service = seen.service->object;
  const auto& plan = attempt.plan;
  Applier applier({deps_.cluster, deps_.cache, deps_.ledger}, service, deadline_, teller());
  const auto run = [&]() -> std::optional<StepFailure> {
    const bool partial = attempt.failure && !before_children(attempt.failure->stage);
    const auto limit = partial ? step_of_stage(attempt.failure->stage) : Step::kEnd;
    // What goes is removed first: a topology change frees its accelerators.
    if (auto failure = remove_unplanned(applier, seen, plan, limit)) return failure;
    if (stopped) return std::nullopt;
    for (const auto& wish : plan.wishes) {
      if (auto done = fulfil(applier, seen, wish); !done) {
        return StepFailure{Step::kSecret, done.error(), std::nullopt};
      }
    }
    bool checked = false;
    const auto check_references = [&]() -> std::optional<StepFailure> {
      checked = true;
      const auto route = std::ranges::find_if(plan.children, [](const Object& child) {
        return child.string_at({"kind"}) == "HTTPRoute";
      });
      auto wrong = invalid_reference(seen.router(plan.merged),
                                     route == plan.children.end() ? nullptr : &*route);
      if (!wrong) return std::nullopt;
      return StepFailure{Step::kReferences, not_found(wrong->message), wrong};
    };
    for (const auto& child : plan.children) {
      const auto step = reconcile::step_of(child);
      if (step >= Step::kReferences && !checked) {
        if (auto failure = check_references()) return failure;
      }
      auto applied = applier.apply(child);
      if (!applied) return StepFailure{step, applied.error(), std::nullopt};
      live_.push_back(*std::move(applied));
    }
    if (partial) return StepFailure{limit, attempt.failure->error, std::nullopt};
    return checked ? std::nullopt : check_references();
  };
  auto failure = run();
  remember(applier.expectations());
  deeds_.tell(deps_.recorder, service);
  if (failure && failure->step == Step::kScaling && failure->error.code() == Code::kNotFound) {
    deps_.recorder.record(service, EventType::kWarning, "ScalingCRDNotFound",
                          failure->error.message());
  }
  return failure;
}

Status ServicePass::fulfil(Applier& applier, const Observation& seen, const plan::Wish& wish) {
  switch (wish.kind) {
    case plan::Wish::Kind::kTlsSecret: {
      const Object frame = secret_frame(seen.service->object, wish);
      const auto cached = deps_.cache.get({kSecret, wish.ns, wish.name});
      BATON_TRY_ASSIGN(
          const auto due,
          deps_.secrets.keep(applier, frame, certificate_names(wish, seen.pods, seen.children),
                             cached, seen.installation.expiration_annotations, deadline_));
      if (due != Wall::max()) {
        again_ = std::max<Nanos>(kSoon, due - deps_.clock.wall());
      }
      return {};
    }
    case plan::Wish::Kind::kCaBundle:
      return copy_ca_bundle({deps_.cluster, deps_.cache, deps_.ledger}, wish,
                            seen.installation.plan.system_namespace, deadline_);
    case plan::Wish::Kind::kRoutingKey: {
      Object frame = secret_frame(seen.service->object, wish);
      frame["metadata"]["labels"][plan::kRoutingKeyLabel] = "true";
      return keep_routing_key(applier, {deps_.cluster, deps_.cache, deps_.ledger}, std::move(frame),
                              deps_.random, deadline_);
    }
  }
  return {};
}

std::optional<kube::Condition> ServicePass::image_volumes(const plan::Plan& plan) {
  if (!plan.mounts_images) return std::nullopt;
  if (const auto server = deps_.versions.read(deadline_)) return image_volume_problem(*server);
  again_ = std::min(again_.value_or(Nanos::max()), kAskVersionAgain);
  return std::nullopt;
}

// What the prober knows. It is asked only for what is Ready: everything else has a reason already.
std::optional<kube::Condition> ServicePass::transfer(const Observation& seen,
                                                     const RouterView& router,
                                                     const std::vector<Address>& addresses) {
  if (deps_.prober == nullptr) return std::nullopt;
  const auto& service = seen.service->object;
  const auto key = service_key(service);
  if (!plan::asks_for_probe(service) || plan::is_stopped(service) ||
      !has(router.merged, {"spec", "prefill"})) {
    deps_.prober->forget(key);
    return std::nullopt;
  }
  const auto unknown = [](std::string_view reason, std::string_view why) {
    return kube::Condition{std::string(kTransferCondition), "Unknown", std::string(reason),
                           std::string(why), "Info"};
  };
  const auto target = probe_target(router, addresses);
  if (!kube::condition_is(service, "Ready", "True") || !target) {
    deps_.prober->forget(key);
    return unknown("NotReady", "probed once the service is Ready and has an address of its own");
  }
  std::uint64_t pods = static_cast<std::uint64_t>(kube::generation_of(service));
  for (const auto& pod : seen.pods) {
    pods += std::hash<std::string>{}(std::string(kube::uid_of(pod->object)) +
                                     std::string(pod->object.string_at({"status", "podIP"})));
  }
  auto verdict = deps_.prober->verdict(key, *target, pods);
  return verdict ? std::move(verdict)
                 : unknown("Probing", "the answer to the first probe is awaited");
}

// What the status is made from: the cache's view, and what this pass has written since.
RouterView ServicePass::router_view(const Observation& seen, const Object& merged) const {
  auto view = seen.router(merged);
  const auto put = [](Objects& list, const Object& object) {
    const auto same = std::ranges::find_if(list, [&](const Object* one) {
      return kube::type_of(*one) == kube::type_of(object) &&
             kube::name_of(*one) == kube::name_of(object) &&
             kube::namespace_of(*one) == kube::namespace_of(object);
    });
    if (same == list.end()) {
      list.push_back(&object);
    } else {
      *same = &object;
    }
  };
  for (const auto& child : live_) {
    const auto kind = child->object.string_at({"kind"});
    if (kind == "HTTPRoute") put(view.routes, child->object);
    if (kind == "InferencePool") put(view.pools, child->object);
    if (kind == "Service") put(view.services, child->object);
  }
  return view;
}

Status ServicePass::write_status(const Object& service, const Outcome& outcome) {
  Object next = service;
  next["status"] = service_status(outcome, deps_.clock.wall());
  const auto* before = service.find("status");
  const auto held_since = std::exchange(memory_.status.held_since, std::nullopt);
  if (before != nullptr && *before == *next.find("status")) {
    tell_warnings(service, outcome.plan);
    return {};
  }
  if (!outcome.failure && is_detail(service, next)) {
    memory_.status.held_since = held_since;
    const Reports reports{
        .complete = std::ranges::all_of(outcome.children,
                                        [](const Object* child) { return has_reported(*child); }),
        .last = deps_.last_report};
    const auto wait = hold_detail(deps_.detail_pause, memory_.status, reports, deps_.clock.now());
    if (wait) {
      again_ = std::min(again_.value_or(Nanos::max()), *wait);
      return {};
    }
  }
  auto written = deps_.cluster.update_status(next, deadline_);
  if (!written) {
    if (written.error().code() == Code::kNotFound) return {};  // it went meanwhile
    if (written.error().code() != Code::kConflict) {
      deps_.recorder.record(service, EventType::kWarning, "UpdateFailed",
                            "Status not written: " + written.error().message());
    }
    return std::move(written).error();
  }
  memory_.status.written_at = deps_.clock.now();
  remember({kube::written(*written)});
  tell(service, next, outcome);
  return {};
}

void ServicePass::tell(const Object& before, const Object& after, const Outcome& outcome) {
  const bool was = kube::condition_is(before, "Ready", "True");
  const bool is = kube::condition_is(after, "Ready", "True");
  if (is && !was) {
    deps_.recorder.record(after, EventType::kNormal, "LLMInferenceServiceReady",
                          "service is ready");
  } else if (was && !is) {
    deps_.recorder.record(after, EventType::kWarning, "LLMInferenceServiceNotReady",
                          "not ready: " + false_conditions(after));
  }
  const auto message = [](const Object& object, std::string_view type) {
    const auto* found = kube::find_condition(object, type);
    return found == nullptr || found->string_at({"status"}) != "True"
               ? std::string_view()
               : found->string_at({"message"});
  };
  const auto degraded = message(after, "GroupDegraded");
  if (!degraded.empty() && degraded != message(before, "GroupDegraded")) {
    deps_.recorder.record(after, EventType::kWarning, "MemberDivergence", degraded);
  }
  const auto& presets = outcome.presets;
  if (presets.status != "True" && !kube::condition_is(before, "PresetsCombined", presets.status)) {
    deps_.recorder.record(after, EventType::kWarning, "Error", presets.message);
  }
  tell_warnings(before, outcome.plan);
}

// Once per generation, and when one appears later. A restarted controller does not repeat them.
void ServicePass::tell_warnings(const Object& service, const plan::Plan& plan) {
  const auto* observed = service.find_path({"status", "observedGeneration"});
  const bool fresh =
      observed == nullptr || observed->if_int().value_or(0) != kube::generation_of(service);
  std::set<std::string> now;
  for (const auto& warning : plan.warnings) {
    const auto text = warning.pointer.empty()
                          ? warning.message
                          : fmt::format("{}: {}", warning.pointer, warning.message);
    now.insert(warning.reason + text);
    const bool appeared = memory_.warnings && !memory_.warnings->contains(warning.reason + text);
    if (fresh || appeared) {
      deps_.recorder.record(service, EventType::kWarning, warning.reason, text);
    }
  }
  memory_.warnings = std::move(now);
}

void ServicePass::remember(const std::vector<kube::Expectation>& expectations) {
  std::ranges::copy(expectations, std::back_inserter(memory_.expectations));
  memory_.written_at = deps_.clock.now();
}

Status ServicePass::change_finalizer(const Object& service, Finalizer what) {
  auto done = set_finalizer(deps_.cluster, service, plan::kServiceFinalizer, what, deadline_);
  if (!done && done.error().code() == Code::kNotFound) return {};
  if (!done) return std::move(done).error();
  if (what == Finalizer::kAdd) remember({kube::written(*done)});
  return {};
}

// The ClusterRoleBinding cannot be owned by a namespaced service: it goes by hand, found by name.
// The rest follows the service. Nothing here needs the configurations.
Result<std::optional<Nanos>> ServicePass::finalize(const Object& service) {
  if (deps_.prober != nullptr) deps_.prober->forget(service_key(service));
  if (!has_finalizer(service, plan::kServiceFinalizer)) return std::optional<Nanos>();
  if (is_in_use_by_group(deps_.cache, service)) {
    Object next = service;
    kube::set_condition(next["status"]["conditions"],
                        part("GroupReady", "FinalizationPending",
                             "another member of the group still sends requests here"),
                        deps_.clock.wall());
    if (next != service) {
      BATON_TRY(deps_.cluster.update_status(next, deadline_));
    }
    return std::optional<Nanos>(kGroupPoll);
  }
  Applier applier({deps_.cluster, deps_.cache, deps_.ledger}, service, deadline_, teller());
  for (const auto& child : children_of(deps_.cache, service)) {
    const bool is_binding = child->object.string_at({"kind"}) == kClusterRoleBinding.kind;
    if (!is_binding || !applier.controls(child->object)) continue;
    const auto removed = applier.remove(child->object);
    deeds_.tell(deps_.recorder, service);
    BATON_TRY(removed);
  }
  BATON_TRY(change_finalizer(service, Finalizer::kRemove));
  deps_.ledger.forget(kube::uid_of(service));
  return std::optional<Nanos>();
}

}  // namespace baton::reconcile
