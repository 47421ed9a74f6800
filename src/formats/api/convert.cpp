#include "formats/api/convert.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/core/nearest.hpp"
#include "formats/api/schema.hpp"

namespace baton::api {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

// Takes `criticality` out of a model.
Value take_criticality(Value& model) {
  Value taken;
  Object* members = model.if_object();
  const Value* found = members == nullptr ? nullptr : members->find("criticality");
  // Another type is left for the schema to refuse.
  if (found != nullptr && (found->is_string() || found->is_null())) {
    taken = *found;
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

// The scheduler's pool, when the object has one.
Value* pool_of(Value& object) {
  Value* at = object.find("spec");
  for (const std::string_view key : {"router", "scheduler", "pool"}) {
    if (at != nullptr) at = at->find(key);
  }
  return at != nullptr && at->is_object() ? at : nullptr;
}

Value* model_of(Value& object) {
  Value* spec = object.find("spec");
  Value* model = spec == nullptr ? nullptr : spec->find("model");
  return model != nullptr && model->is_object() ? model : nullptr;
}

// A pool spec that is none stays away, as upstream.
void convert_pool(Value& object, Value (*convert)(const Value&)) {
  Value* pool = pool_of(object);
  Value* spec = pool == nullptr ? nullptr : pool->find("spec");
  if (spec == nullptr) return;
  if (spec->is_object()) {
    *spec = convert(*spec);
  } else {
    pool->if_object()->erase("spec");
  }
}

// Fields of a newer API that a pool spec may have, kept as they are.
Value pool_spec_to_x_keeping(const Value& spec) {
  Value out = pool_spec_to_x(spec);
  for (const auto& [key, value] : *spec.if_object()) {
    if (key != "selector" && key != "targetPorts" && key != "endpointPickerRef") out[key] = value;
  }
  return out;
}

// Takes what only v1alpha2 has out of `value`, adding it to `taken` under its pointer. Lists of the
// spec are left alone: adapters keep unknown fields, nothing else in them is new.
void take_new_fields(const Struct& type, Value& value, const std::string& at, Object& taken) {
  Object* members = value.if_object();
  if (members == nullptr) return;
  for (const Field& field : type.fields) {
    Value* member = members->find(field.name);
    if (member == nullptr) continue;
    const bool converted = field.type == FieldType::kRaw;  // the pool's spec: both have one
    if (field.versions == Versions::kV1Alpha2 && !converted) {
      if (!member->is_null()) taken.set(text::json::pointer(at, field.name), *member);
      members->erase(field.name);
    } else if (field.type == FieldType::kObject) {
      take_new_fields(*field.of, *member, text::json::pointer(at, field.name), taken);
    } else if (field.type == FieldType::kObjects && at.starts_with("/status")) {
      Array* items = member->if_array();
      for (std::size_t i = 0; items != nullptr && i < items->size(); ++i) {
        take_new_fields(*field.of, (*items)[i], at, taken);
      }
    }
  }
}

// Puts back what take_new_fields took, where its parent is still there and nothing took its place.
void put_new_fields(const Struct& type, Value& value, const std::string& at, const Object& taken) {
  if (!value.is_object()) return;
  for (const Field& field : type.fields) {
    const std::string place = text::json::pointer(at, field.name);
    const Value* kept = taken.find(place);
    Value* member = value.find(field.name);
    if (field.versions == Versions::kV1Alpha2 && field.type != FieldType::kRaw) {
      if (kept != nullptr && member == nullptr) value[field.name] = *kept;
    } else if (field.type == FieldType::kObject && member != nullptr) {
      put_new_fields(*field.of, *member, place, taken);
    }
  }
}

constexpr std::string_view kTargetPorts = "/spec/router/scheduler/pool/spec/targetPorts";

Value* target_ports_of(Value& object) {
  Value* pool = pool_of(object);
  Value* spec = pool == nullptr ? nullptr : pool->find("spec");
  Value* ports = spec == nullptr ? nullptr : spec->find("targetPorts");
  return ports != nullptr && ports->is_array() && !ports->if_array()->empty() ? ports : nullptr;
}

void save_new_fields(Value& object) {
  Object taken;
  if (Value* spec = object.find("spec")) take_new_fields(service_spec(), *spec, "/spec", taken);
  if (const Value* ports = target_ports_of(object);
      ports != nullptr && ports->if_array()->size() > 1)
    taken.set(kTargetPorts, *ports);
  if (!taken.empty()) annotations(object)[kNewFields] = text::json::dump(taken);
}

// Removes the annotation; its text, or "".
std::string take_annotation(Value& object, std::string_view key) {
  Value* metadata = object.find("metadata");
  Value* all = metadata == nullptr ? nullptr : metadata->find("annotations");
  const Value* found = all == nullptr ? nullptr : all->find(key);
  if (found == nullptr || !found->is_string()) return "";
  std::string text = *found->if_string();
  all->if_object()->erase(key);
  if (all->if_object()->empty()) metadata->if_object()->erase("annotations");
  return text;
}

// The JSON object in an annotation, which is removed.
Object take_json(Value& object, std::string_view key) {
  const auto parsed = text::json::parse(take_annotation(object, key));
  return parsed && parsed->is_object() ? *parsed->if_object() : Object();
}

void restore_new_fields(Value& object) {
  const Object taken = take_json(object, kNewFields);
  if (taken.empty()) return;
  if (Value* spec = object.find("spec")) put_new_fields(service_spec(), *spec, "/spec", taken);
  const Value* kept = taken.find(kTargetPorts);
  Value* ports = target_ports_of(object);
  const bool whole = kept != nullptr && kept->is_array() && !kept->if_array()->empty();
  // The first port may have been changed meanwhile: it is the one that v1alpha1 shows.
  if (whole && ports != nullptr && kept->if_array()->front() == ports->if_array()->front()) {
    *ports = *kept;
  }
}

void restore_criticalities(Value& object) {
  const std::string own = take_annotation(object, kCriticality);
  const Object of_adapters = take_json(object, kLoraCriticalities);
  Value* model = model_of(object);
  if (model == nullptr) return;
  if (!own.empty()) (*model)["criticality"] = own;
  Value* lora = model->find("lora");
  Value* adapters = lora == nullptr ? nullptr : lora->find("adapters");
  if (adapters == nullptr || !adapters->is_array()) return;
  std::size_t index = 0;
  for (Value& adapter : *adapters->if_array()) {
    const Value* found = of_adapters.find(fmt::format("{}", index++));
    if (found != nullptr && found->is_string() && adapter.is_object()) {
      adapter["criticality"] = *found;
    }
  }
}

bool is_config(const Value& object) {
  return object.string_at({"kind"}) == "LLMInferenceServiceConfig";
}

Status check_kind_and_version(const Value& object) {
  static constexpr std::string_view kKinds[] = {"LLMInferenceService", "LLMInferenceServiceConfig"};
  const std::string_view kind = object.string_at({"kind"});
  if (kind != kKinds[0] && kind != kKinds[1]) {
    return invalid(fmt::format("/kind: expected {} or {}, is '{}'{}", kKinds[0], kKinds[1], kind,
                               did_you_mean(kind, kKinds)));
  }
  const std::string_view version = object.string_at({"apiVersion"});
  if (version == kApiVersion || version == kOldApiVersion) return {};
  return invalid(
      fmt::format("/apiVersion: expected {} or {}, is '{}'", kOldApiVersion, kApiVersion, version));
}

}  // namespace

Result<Value> to_v1alpha2(Value object) {
  BATON_TRY(check_kind_and_version(object));
  if (object.string_at({"apiVersion"}) == kApiVersion) return object;
  object["apiVersion"] = kApiVersion;
  if (Value* model = model_of(object)) {
    Value moved = std::move(*model);
    move_criticalities(object, moved);
    *model_of(object) = std::move(moved);
  }
  convert_pool(object, pool_spec_to_v1);
  restore_new_fields(object);
  return object;
}

Result<Value> to_v1alpha1(Value object) {
  BATON_TRY(check_kind_and_version(object));
  if (object.string_at({"apiVersion"}) == kOldApiVersion) return object;
  object["apiVersion"] = kOldApiVersion;
  save_new_fields(object);
  convert_pool(object, pool_spec_to_x_keeping);
  restore_criticalities(object);
  if (Value* status = object.find("status")) {
    Object dropped;
    take_new_fields(is_config(object) ? config_status() : service_status(), *status, "/status",
                    dropped);
  }
  return object;
}

Result<Value> convert(Value object, std::string_view api_version) {
  if (api_version == kApiVersion) return to_v1alpha2(std::move(object));
  if (api_version == kOldApiVersion) return to_v1alpha1(std::move(object));
  return invalid(fmt::format("nothing is converted to '{}': there are {} and {}", api_version,
                             kOldApiVersion, kApiVersion));
}

}  // namespace baton::api
