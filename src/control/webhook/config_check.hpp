#pragma once
// Whether a config's templates can be replaced: it is rendered for a sample service. Pure.

#include "base/text/json.hpp"
#include "control/plan/plan.hpp"
#include "formats/api/finding.hpp"

namespace baton::webhook {

// `config` is v1alpha2 and of the right shape (api::validate_config found no errors).
api::Findings check_templates(const text::json::Value& config, const plan::Settings& settings);

// A preset of this installation: its names are compiled in, an object of that name replaces it.
bool is_well_known(std::string_view name, const plan::Settings& settings);

}  // namespace baton::webhook
