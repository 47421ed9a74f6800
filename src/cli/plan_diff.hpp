#pragma once
// `baton plan --diff`: what applying manifests to a cluster would change.

#include "base/core/result.hpp"
#include "cli/cluster_options.hpp"
#include "control/reconcile/installation.hpp"
#include "formats/api/manifests.hpp"

namespace baton::cli {

// Prints to standard output; whether anything would change. An error also where the controller
// would not get to its end, after what it would do until then was printed.
Result<bool> print_diff(const api::Manifests& manifests, const reconcile::Installation& base,
                        const ClusterOptions& options);

}  // namespace baton::cli
