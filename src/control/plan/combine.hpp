#pragma once
// The service with the presets its shape calls for, its baseRefs, and templates replaced.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "control/plan/plan.hpp"

namespace baton::plan {

struct Combined {
  Value service;                            // v1alpha2
  std::vector<std::string> applied;         // Plan::applied_configs
  std::map<std::string, std::string> pins;  // Plan::pins
  std::vector<Warning> warnings;            // about the configs
  std::optional<std::string> picker_text;   // what scheduler.config.ref points to, verbatim
};

// `service` is v1alpha2 and defaulted. `stage`: kFindConfigs or kCombine, whichever is under way.
Result<Combined> combine(Value service, const ServiceView& observed, Stage& stage);

// The names, without prefix, of the presets that a spec of this shape gets, in merge order.
// `picker_config`: what given_picker_config() says of it.
std::vector<std::string> presets_for(const Value& spec, std::string_view picker_config = "");

// All well-known configurations, without prefix, in merge order (controller reference 2.2).
std::span<const std::string_view> well_known_configs();

}  // namespace baton::plan
