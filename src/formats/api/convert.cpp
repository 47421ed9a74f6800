#include "formats/api/convert.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/core/nearest.hpp"

namespace baton::api {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::int64_t kPickerPort = 9002;

// Takes `criticality` out of a model.
Value take_criticality(Value& model) {
  Value taken;
  if (Object* members = model.if_object()) {
    if (const Value* found = members->find("criticality")) taken = *found;
    members->erase("criticality");
  }
  return taken;
}

Value& annotations(Value& object) {
  Value& metadata = object["metadata"];
  if (!metadata.is_object()) metadata = Object();
  Value& all = metadata["annotations"];
  if (!all.is_object()) all = Object();
  return all;
}

void move_criticalities(Value& object, Value& model) {
  if (const Value taken = take_criticality(model); !taken.is_null()) {
    annotations(object)[kCriticality] = taken;
  }
  Value* lora = model.find("lora");
  Value* adapters = lora == nullptr ? nullptr : lora->find("adapters");
  if (adapters == nullptr || !adapters->is_array()) return;
  Object by_index;
  std::size_t index = 0;
  for (Value& adapter : *adapters->if_array()) {
    if (const Value taken = take_criticality(adapter); !taken.is_null()) {
      by_index.set(fmt::format("{}", index), taken);
    }
    ++index;
  }
  if (!by_index.empty()) annotations(object)[kLoraCriticalities] = text::json::dump(by_index);
}

Value picker_ref_to_v1(const Value& extension) {
  Object out;
  for (const std::string_view key : {"group", "kind", "name"}) {
    if (const Value* value = extension.find(key)) out.set(key, *value);
  }
  if (out.find("kind") == nullptr) out.set("kind", "Service");
  const bool service = *out.find("kind") == Value("Service");
  const Value* port = extension.find("portNumber");
  if (port != nullptr || service) {
    out.set("port", Object{{"number", port != nullptr ? *port : Value(kPickerPort)}});
  }
  const Value* mode = extension.find("failureMode");
  out.set("failureMode", mode != nullptr ? *mode : Value("FailClose"));
  return out;
}

}  // namespace

Value pool_spec_to_v1(const Value& spec) {
  if (!spec.is_object()) return spec;
  Object out;
  for (const auto& [key, value] : *spec.if_object()) {
    if (key == "selector" && value.is_object() && value.find("matchLabels") == nullptr) {
      out.set("selector", Object{{"matchLabels", value}});
    } else if (key == "targetPortNumber") {
      out.set("targetPorts", Array{Object{{"number", value}}});
    } else if (key == "extensionRef") {
      out.set("endpointPickerRef", picker_ref_to_v1(value));
    } else {
      out.set(key, value);
    }
  }
  return out;
}

Value pool_spec_to_x(const Value& spec) {
  Object out;
  if (const Value* labels = spec.find_path({"selector", "matchLabels"})) {
    out.set("selector", *labels);
  }
  const Value* ports = spec.find("targetPorts");
  if (ports != nullptr && ports->is_array() && !ports->if_array()->empty()) {
    if (const Value* number = ports->if_array()->front().find("number")) {
      out.set("targetPortNumber", *number);
    }
  }
  if (const Value* picker = spec.find("endpointPickerRef")) {
    Object ref;
    for (const std::string_view key : {"group", "kind", "name", "failureMode"}) {
      if (const Value* value = picker->find(key)) ref.set(key, *value);
    }
    if (const Value* number = picker->find_path({"port", "number"})) {
      ref.set("portNumber", *number);
    }
    out.set("extensionRef", std::move(ref));
  }
  return out;
}

Result<Value> to_v1alpha2(Value object) {
  static constexpr std::string_view kKinds[] = {"LLMInferenceService", "LLMInferenceServiceConfig"};
  const std::string_view kind = object.string_at({"kind"});
  if (kind != kKinds[0] && kind != kKinds[1]) {
    return invalid(fmt::format("/kind: expected {} or {}, is '{}'{}", kKinds[0], kKinds[1], kind,
                               did_you_mean(kind, kKinds)));
  }
  const std::string_view version = object.string_at({"apiVersion"});
  if (version == kApiVersion) return object;
  if (version != "serving.kserve.io/v1alpha1") {
    return invalid(fmt::format(
        "/apiVersion: expected serving.kserve.io/v1alpha1 or serving.kserve.io/v1alpha2, is '{}'",
        version));
  }
  object["apiVersion"] = kApiVersion;
  Value* spec = object.find("spec");
  if (spec == nullptr) return object;
  if (Value* model = spec->find("model"); model != nullptr && model->is_object()) {
    Value moved = std::move(*model);
    move_criticalities(object, moved);
    *object.find("spec")->find("model") = std::move(moved);
  }
  Value* router = object.find("spec")->find("router");
  Value* scheduler = router == nullptr ? nullptr : router->find("scheduler");
  Value* pool = scheduler == nullptr ? nullptr : scheduler->find("pool");
  if (Value* pool_spec = pool == nullptr ? nullptr : pool->find("spec")) {
    *pool_spec = pool_spec_to_v1(*pool_spec);
  }
  return object;
}

}  // namespace baton::api
