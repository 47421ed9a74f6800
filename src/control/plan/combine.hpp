#pragma once
// The service with the presets its shape calls for, its baseRefs, and templates replaced.

#include <optional>
#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "control/plan/plan.hpp"

namespace baton::plan {

struct Combined {
  Value service;                           // v1alpha2
  std::vector<std::string> applied;        // Plan::applied_configs
  std::vector<Warning> warnings;           // about the configs
  std::optional<std::string> picker_text;  // what scheduler.config.ref points to, verbatim
};

// `service` is v1alpha2 and defaulted.
Result<Combined> combine(Value service, const ServiceView& observed);

// The names, without prefix, of the presets that a spec of this shape gets, in merge order.
std::vector<std::string> presets_for(const Value& spec);

}  // namespace baton::plan
