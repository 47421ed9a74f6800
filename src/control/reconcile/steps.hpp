#pragma once
// The order in which a pass visits the children of a service. Controller reference 5.1.

#include <cstdint>
#include <optional>

#include "base/core/result.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

enum class Step : std::uint8_t {
  kSecret,
  kMultiNode,
  kSingleNode,
  kWorkloadService,
  kScaling,
  kReferences,  // do the gateways and routes exist that are referred to
  kScheduler,
  kRoute,
  kEnd,
};

// To which step a child belongs, by its kind and labels.
Step step_of(const kube::Object& child);

struct StepFailure {
  Step step;
  Error error;
  std::optional<kube::Condition> condition;  // to be set as it is, else by step
};

}  // namespace baton::reconcile
