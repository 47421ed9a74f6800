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
};

kube::Object service_status(const Outcome& outcome, Wall now);

// The names of conditions that are False, "Ready" left out; for the event of an unready service.
std::string false_conditions(const kube::Object& service);

}  // namespace baton::reconcile
