#pragma once
// One look at one LLMInferenceServiceConfig: who uses it, and may it go. Controller reference 5.9.

#include <optional>
#include <string>
#include <vector>

#include "control/plan/plan.hpp"
#include "control/reconcile/recorder.hpp"
#include "net/kube/cache.hpp"

namespace baton::reconcile {

inline constexpr std::string_view kConfigFinalizer = "serving.kserve.io/llmisvcconfig-finalizer";

// The status of a configuration that these services use, "ns/name" each, sorted. Pure.
kube::Object config_status(const kube::Object& config, const std::vector<std::string>& users,
                           Wall now);

struct ConfigPassDeps {
  kube::Cluster& cluster;
  const kube::Cache& cache;
  const Clock& clock;
  Recorder& recorder;
};
// Adds the finalizer, writes the status; of one that is being deleted, takes the finalizer away
// once nobody uses it.
Status reconcile_config(const ConfigPassDeps& deps, const plan::Settings& settings,
                        const kube::Object& config, Deadline deadline);

}  // namespace baton::reconcile
