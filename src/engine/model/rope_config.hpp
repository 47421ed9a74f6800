#pragma once
// The rotary settings of config.json, in both spellings. Internal to engine/model.

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "engine/model/config.hpp"

namespace baton::model {

// rope_theta and rope_scaling of `out`, from rope_parameters (transformers 5) or from rope_theta
// and rope_scaling. Contract: max_positions is there.
Status read_rope(const text::json::Value& config, Config& out);

}  // namespace baton::model
