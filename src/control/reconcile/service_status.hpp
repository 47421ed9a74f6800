#pragma once
// An LLMInferenceService's status from what exists. Pure. Controller reference 5.5 and 5.6.

#include <optional>
#include <string>
#include <vector>

#include "control/plan/plan.hpp"
#include "net/kube/cluster.hpp"

namespace baton::reconcile {

struct Observed {
  const kube::Object& service;
  // Unset: the plan failed with `plan_error`.
  const plan::Plan* plan = nullptr;
  std::optional<Error> plan_error;
  std::optional<Error> apply_error;
  std::vector<kube::Object> children;  // live, in the order of the plan
  std::vector<kube::Object> gateways;  // all
  const plan::Settings& settings;
};

kube::Object service_status(const Observed& observed, Wall now);

// The names of conditions that are False, "Ready" left out; for the event of an unready service.
std::string false_conditions(const kube::Object& service);

}  // namespace baton::reconcile
