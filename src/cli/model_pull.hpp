#pragma once
// `serve` gets the models that are not here before it starts: `baton pull` as a process, which
// shows its own progress and ends with Ctrl-C.

#include <string>

#include "base/core/clock.hpp"
#include "cli/stop_signal.hpp"
#include "control/node/config.hpp"

namespace baton::cli {

// Nothing for a model that is here, or that is none of a hub. The error has the code that the
// process ended with; what was wrong stands on standard error already. kCancelled: a signal came.
Status pull_model(const std::string& uri, const node::Config& node, const StopSignal& stop);

}  // namespace baton::cli
