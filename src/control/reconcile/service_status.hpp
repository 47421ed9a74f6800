#pragma once
// An LLMInferenceService's status from what one pass found and did. Pure. Controller reference 5.

#include <optional>
#include <string>
#include <vector>

#include "control/plan/plan.hpp"
#include "control/reconcile/router_status.hpp"
#include "control/reconcile/steps.hpp"
#include "net/kube/cluster.hpp"

namespace baton::reconcile {

struct Outcome {
  const kube::Object& service;
  bool stopped = false;
  kube::Condition presets;  // PresetsCombined
  // Whether the pass went on to the children; when not, their conditions stay as they were.
  bool combined = false;
  // What ended the pass; steps before it are told as observed, later ones stay as they were.
  std::optional<StepFailure> failure;
  const plan::Plan& plan;
  Objects children;  // live
  RouterView router;
  std::vector<Address> addresses;
  // Conditions that are there only while they have something to say: nullopt removes them.
  std::optional<kube::Condition> image_volumes = {};
  std::optional<kube::Condition> transfer = {};  // no part of Ready
};

kube::Object service_status(const Outcome& outcome, Wall now);

// Whether the new status differs from the old one only in conditions other than Ready and in
// numbers of replicas, and changes nothing that others act on.
bool is_detail(const kube::Object& before, const kube::Object& after);

// Whether a Deployment has said at least once whether it is available; others need not.
bool has_reported(const kube::Object& child);

// The names of conditions that are False, "Ready" left out; for the event of an unready service.
std::string false_conditions(const kube::Object& service);

}  // namespace baton::reconcile
