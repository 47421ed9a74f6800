#pragma once
// The latency predictor's servers, by the variables that llm-d's picker reads (picker
// reference 4.5).

#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "cli/epp_options.hpp"
#include "routing/epp/predictor_config.hpp"

namespace baton::cli {

// kInvalid: a variable with a wrong value; kUnsupported: an address other than http://. `warnings`
// gets those that have no effect.
Result<epp::PredictorConfig> read_predictor(const EppEnvironment& environment,
                                            std::vector<std::string>& warnings);

}  // namespace baton::cli
