#include "formats/api/pool.hpp"

#include <fmt/format.h>

#include <utility>

#include "formats/api/convert.hpp"

namespace baton::api {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kV1 = "inference.networking.k8s.io/v1";
constexpr std::string_view kSeedLabel = "serving.kserve.io/inferenceservice";
constexpr std::string_view kNameLabel = "app.kubernetes.io/name";

// What all targets ask for. Roles stay out: the pool is flat, the picker's filters tell them apart.
Object common_labels(const Array& targets) {
  Object common;
  const Value* first = targets[0].find_path({"selector", "matchLabels"});
  if (first == nullptr || !first->is_object()) return common;
  for (const auto& [key, value] : *first->if_object()) {
    bool everywhere = true;
    for (const Value& target : targets) {
      const Value* same = target.find_path({"selector", "matchLabels", key});
      everywhere = everywhere && same != nullptr && *same == value;
    }
    // Pods carry the name under the Kubernetes label.
    if (everywhere) common.set(key == kSeedLabel ? kNameLabel : std::string_view(key), value);
  }
  return common;
}

Result<Value> flattened(const Value& targets) {
  const Array* list = targets.if_array();
  if (list == nullptr || list->empty()) return invalid("/spec/targets: expected a list of targets");
  const Value* port = (*list)[0].find("port");
  for (std::size_t i = 0; i < list->size(); ++i) {
    const Value* own = (*list)[i].find("port");
    if (own == nullptr || !own->if_int()) {
      return invalid(fmt::format("/spec/targets/{}/port: expected a port number", i));
    }
    if (*own != *port) {
      return invalid(fmt::format(
          "/spec/targets/{}/port: is {}, but the first target has {}: a pool has one port", i,
          text::json::dump(*own), text::json::dump(*port)));
    }
  }
  Object labels = common_labels(*list);
  if (labels.empty()) {
    return invalid("/spec/targets: the targets select nothing in common, so there is no pool");
  }
  return Value(Object{{"selector", Object{{"matchLabels", std::move(labels)}}},
                      {"targetPorts", Array{Object{{"number", *port}}}}});
}

}  // namespace

Result<Pool> pool_to_v1(const Value& object) {
  Pool out{object, ""};
  out.object["apiVersion"] = kV1;
  const Value* spec = object.find("spec");
  if (spec == nullptr || !spec->is_object()) return invalid("/spec: expected an object");
  if (const Value* targets = spec->find("targets")) {
    BATON_TRY_ASSIGN(out.object["spec"], flattened(*targets));
    out.note =
        "targets became one flat pool: roles are told apart by the label llm-d.ai/role and the "
        "picker's filters";
    return out;
  }
  out.object["spec"] = pool_spec_to_v1(*spec);
  const Value& v1 = *out.object.find("spec");
  if (v1.find_path({"selector", "matchLabels"}) == nullptr) {
    return invalid("/spec/selector: is required");
  }
  if (v1.find("targetPorts") == nullptr) return invalid("/spec/targetPorts: is required");
  return out;
}

}  // namespace baton::api
