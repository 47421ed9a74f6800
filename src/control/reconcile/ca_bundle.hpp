#pragma once
// The certificate authorities that initializers trust, copied into the namespaces that use them.

#include <string>

#include "control/plan/plan.hpp"
#include "control/reconcile/apply.hpp"

namespace baton::reconcile {

// Makes the ConfigMap of the wish what the one of the system namespace is. The copy is the
// namespace's: other services use it too, so it has no owner and stays. Asks nothing when neither
// has changed since. kNotFound: there is no original.
Status copy_ca_bundle(const Applier::Deps& deps, const plan::Wish& wish, const std::string& system,
                      Deadline deadline);

}  // namespace baton::reconcile
