// InferencePool specs between their two APIs.

#include <utility>

#include "formats/api/convert.hpp"

namespace baton::api {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::int64_t kPickerPort = 9002;

// A reference of v1 with what it leaves out, as the API server has it.
Value complete(Object ref) {
  if (ref.find("kind") == nullptr) ref.set("kind", "Service");
  const Value* port = ref.find("port");
  const bool numbered = port != nullptr && port->find("number") != nullptr;
  if (!numbered && *ref.find("kind") == Value("Service")) {
    ref.set("port", Object{{"number", Value(kPickerPort)}});
  }
  if (ref.find("failureMode") == nullptr) ref.set("failureMode", "FailClose");
  return ref;
}

// Fields that neither API has are kept in both directions.
Value picker_ref_to_v1(const Value& extension) {
  Object out;
  if (!extension.is_object()) return complete(std::move(out));
  for (const auto& [key, value] : *extension.if_object()) {
    key == "portNumber" ? out.set("port", Object{{"number", value}}) : out.set(key, value);
  }
  return complete(std::move(out));
}

}  // namespace

Value pool_spec_to_v1(const Value& spec) {
  if (!spec.is_object()) return spec;
  Object out;
  for (const auto& [key, value] : *spec.if_object()) {
    const Value* nested = key == "selector" ? value.find("matchLabels") : nullptr;
    const bool of_v1 = nested != nullptr && !nested->is_string();  // a label may have that name
    if (key == "selector" && value.is_object() && !of_v1) {
      out.set("selector", Object{{"matchLabels", value}});
    } else if (key == "targetPortNumber") {
      out.set("targetPorts", Array{Object{{"number", value}}});
    } else if (key == "extensionRef") {
      out.set("endpointPickerRef", picker_ref_to_v1(value));
    } else if (key == "endpointPickerRef" && value.is_object()) {
      out.set(key, complete(*value.if_object()));
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
    if (picker->is_object()) {
      for (const auto& [key, value] : *picker->if_object()) {
        if (key != "port") ref.set(key, value);
      }
    }
    if (const Value* number = picker->find_path({"port", "number"})) {
      ref.set("portNumber", *number);
    }
    out.set("extensionRef", std::move(ref));
  }
  return out;
}

}  // namespace baton::api
