// The October 2025 description draws an InferencePool with a target per role. Such a spec inside a
// service becomes the flat pool of today.

#include <utility>

#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"
#include "formats/api/pool.hpp"

namespace baton::plan {

Status flatten_pool_targets(Value& service, std::vector<Warning>& warnings) {
  if (get(service, {"spec", "router", "scheduler", "pool", "spec", "targets"}) == nullptr)
    return {};
  Value& spec = service["spec"]["router"]["scheduler"]["pool"]["spec"];
  const Value written = Value(text::json::Object{{"spec", spec}});
  BATON_TRY_ASSIGN(const api::Pool flat,
                   api::pool_to_v1(written).with("/spec/router/scheduler/pool"));
  spec.if_object()->erase("targets");
  for (const auto& [key, value] : *flat.object.find("spec")->if_object()) spec[key] = value;
  warnings.push_back({"/spec/router/scheduler/pool/spec/targets", flat.note});
  return {};
}

}  // namespace baton::plan
