#include "control/reconcile/installation.hpp"

namespace baton::reconcile {

Result<Installation> read_installation(const kube::Object&, Installation base) { return base; }

}  // namespace baton::reconcile
