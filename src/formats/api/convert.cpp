#include "formats/api/convert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
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

// Members of a pool spec, of either API, that are not the same in the other one.
constexpr std::string_view kConverted[] = {"selector", "targetPorts", "targetPortNumber",
                                           "endpointPickerRef", "extensionRef"};

// Of the x-k8s API, with what neither API knows. What a v1alpha2 object has under names of x-k8s is
// not among it: there these names mean nothing.
Value pool_spec_to_x_keeping(const Value& spec) {
  Value out = pool_spec_to_x(spec);
  for (const auto& [key, value] : *spec.if_object()) {
    if (std::ranges::find(kConverted, key) == std::end(kConverted)) out[key] = value;
  }
  return out;
}

// What is left of a pool spec of v1 that is read through the other API and written back.
Value by_way_of_x(const Value& spec) { return pool_spec_to_v1(pool_spec_to_x_keeping(spec)); }

bool same(const Value* a, const Value* b) {
  return a == nullptr || b == nullptr ? a == b : *a == *b;
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
      taken.set(text::json::pointer(at, field.name), *member);
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

constexpr std::string_view kPoolSpec = "/spec/router/scheduler/pool/spec";

Object* pool_spec_of(Value& object) {
  Value* pool = pool_of(object);
  Value* spec = pool == nullptr ? nullptr : pool->find("spec");
  return spec == nullptr ? nullptr : spec->if_object();
}

// Adds the members of a pool spec that the x-k8s API does not bring back as they are: further
// target ports, say.
void take_pool_members(const Object& spec, Object& taken) {
  const Value back = by_way_of_x(spec);
  for (const std::string_view name : kConverted) {
    const Value* member = spec.find(name);
    if (member == nullptr || same(back.find(name), member)) continue;
    taken.set(text::json::pointer(kPoolSpec, name), *member);
  }
}

// Puts back those whose rest in the x-k8s API nobody changed meanwhile.
void put_pool_members(Object& spec, const Object& taken) {
  for (const std::string_view name : kConverted) {
    const Value* kept = taken.find(text::json::pointer(kPoolSpec, name));
    if (kept == nullptr) continue;
    const Value rest = by_way_of_x(Object{{std::string(name), *kept}});
    if (same(rest.find(name), spec.find(name))) spec.set(name, *kept);
  }
}

// Removes the annotation; its text, when there is one.
std::optional<std::string> take_annotation(Value& object, std::string_view key) {
  Value* metadata = object.find("metadata");
  Value* all = metadata == nullptr ? nullptr : metadata->find("annotations");
  const Value* found = all == nullptr ? nullptr : all->find(key);
  if (found == nullptr || !found->is_string()) return std::nullopt;
  std::string text = *found->if_string();
  all->if_object()->erase(key);
  if (all->if_object()->empty()) metadata->if_object()->erase("annotations");
  return text;
}

// The JSON object in an annotation, which is removed.
Object take_json(Value& object, std::string_view key) {
  const auto parsed = text::json::parse(take_annotation(object, key).value_or(""));
  return parsed && parsed->is_object() ? *parsed->if_object() : Object();
}

void save_new_fields(Value& object) {
  take_annotation(object, kNewFields);  // of another reading: it says nothing about this object
  Object taken;
  if (Value* spec = object.find("spec")) take_new_fields(service_spec(), *spec, "/spec", taken);
  if (const Object* pool = pool_spec_of(object)) take_pool_members(*pool, taken);
  if (!taken.empty()) annotations(object)[kNewFields] = text::json::dump(taken);
}

void restore_new_fields(Value& object) {
  const Object taken = take_json(object, kNewFields);
  if (taken.empty()) return;
  if (Value* spec = object.find("spec")) put_new_fields(service_spec(), *spec, "/spec", taken);
  if (Object* pool = pool_spec_of(object)) put_pool_members(*pool, taken);
}

void restore_criticalities(Value& object) {
  const auto own = take_annotation(object, kCriticality);
  const Object of_adapters = take_json(object, kLoraCriticalities);
  Value* model = model_of(object);
  if (model == nullptr) return;
  if (own) (*model)["criticality"] = *own;
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
