#include "control/reconcile/installation.hpp"

#include <utility>

namespace baton::reconcile {

Result<Installation> read_installation(const kube::Object& config_map, Installation base) {
  BATON_TRY_ASSIGN(base.plan, plan::read_settings(config_map, std::move(base.plan)));
  base.url_scheme = base.plan.url_scheme;
  base.expiration_annotations = base.plan.expiration_annotations;
  return base;
}

}  // namespace baton::reconcile
