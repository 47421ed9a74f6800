#pragma once
// What `baton serve` would change of a plan's pods to run them as processes of this machine.

#include <string>
#include <vector>

#include "control/plan/plan.hpp"

namespace baton::cli {

// "<object> <container>: what", each once. Folders and addresses that only a running pod has are
// shown as <volume>, <pod> and the like.
std::vector<std::string> local_rewrites(const plan::Plan& plan);

}  // namespace baton::cli
