#pragma once
// The key that a service's picker signs routes with, and its sidecars verify: a Secret.

#include "base/core/random.hpp"
#include "control/reconcile/apply.hpp"

namespace baton::reconcile {

// Makes the Secret, or the `key` it lacks; one that is there stays, whoever wrote it. `frame` is
// the Secret without data: labels and owner. kConflict: it is another's.
Status keep_routing_key(Applier& applier, const Applier::Deps& deps, kube::Object frame,
                        Random& random, Deadline deadline);

}  // namespace baton::reconcile
