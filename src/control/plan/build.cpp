#include "control/plan/build.hpp"

#include <fmt/format.h>

#include "base/core/assert.hpp"
#include "control/plan/child_name.hpp"
#include "control/plan/live_kinds.hpp"
#include "control/plan/objects.hpp"
#include "formats/api/convert.hpp"

namespace baton::plan {

using text::json::Array;
using text::json::Object;

const Value& Build::spec() const { return *service.find("spec"); }

Split Build::split() const {
  return get(spec(), {"prefill"}) != nullptr ? Split::kYes : Split::kNo;
}

std::string Build::child(std::string_view suffix) const { return child_name(name, suffix); }

void Build::add(Value object) {
  // A service that is not stored yet has no uid to be an owner by.
  if (const Value* uid = get(service, {"metadata", "uid"})) {
    object["metadata"]["ownerReferences"] = Array{Object{{"apiVersion", api::kApiVersion},
                                                         {"kind", "LLMInferenceService"},
                                                         {"name", name},
                                                         {"uid", *uid},
                                                         {"controller", true},
                                                         {"blockOwnerDeletion", true}}};
  }
  out.children.push_back(std::move(object));
}

void Build::warn(std::string pointer, std::string message) {
  out.warnings.push_back({std::move(pointer), std::move(message)});
}

const Value* Build::live(std::string_view kind, std::string_view object_name) const {
  BATON_ASSERT(reads_live(kind));
  for (const Value& one : observed.children) {
    if (one.string_at({"kind"}) == kind && name_of(one) == object_name) return &one;
  }
  return nullptr;
}

bool Workload::is_multi_node() const { return get(spec, {"worker"}) != nullptr; }

std::string workload_name(const Build& build, const Workload& workload) {
  return build.child(fmt::format("-kserve{}{}", workload.is_multi_node() ? "-mn" : "",
                                 workload.is_prefill() ? "-prefill" : ""));
}

std::string PodPlace::pointer() const { return fmt::format("{}/{}", workload.pointer, place); }

Workload main_workload(const Build& build) {
  return {build.spec(), "/spec", build.split() == Split::kYes ? "decode" : "both"};
}

std::optional<Workload> prefill_workload(const Build& build) {
  const Value* prefill = get(build.spec(), {"prefill"});
  if (prefill == nullptr) return std::nullopt;
  return Workload{*prefill, "/spec/prefill", "prefill"};
}

}  // namespace baton::plan
