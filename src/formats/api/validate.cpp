#include "formats/api/validate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/core/nearest.hpp"
#include "formats/api/names.hpp"
#include "formats/api/rules.hpp"
#include "formats/api/schema.hpp"
#include "formats/api/structure.hpp"

namespace baton::api {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kRoutingGroup = "serving.kserve.io/routing-group";

Value* descend(Value& in, std::initializer_list<std::string_view> path) {
  Value* at = &in;
  for (const std::string_view key : path) {
    at = at->find(key);
    if (at == nullptr || !at->is_object()) return nullptr;
  }
  return at;
}

// "", or what stands there under a name that is nearly `name`.
std::string misspelt(const Value& in, std::string_view name) {
  if (!in.is_object()) return "";
  const std::array wanted = {name};
  for (const auto& [key, _] : *in.if_object()) {
    if (key != name && !nearest(key, wanted).empty()) {
      return fmt::format(" (is '{}' meant to be it?)", key);
    }
  }
  return "";
}

void check_model_is_there(const Value& spec, Findings& out) {
  const Value* model = member(spec, {"model"});
  if (model == nullptr) {
    out.errors.push_back({"/spec/model",
                          "is required: model.uri says what to serve" + misspelt(spec, "model"),
                          Finding::Kind::kRequired});
  } else if (model->is_object() && model->string_at({"uri"}).empty()) {
    out.errors.push_back(
        {"/spec/model/uri", "is required" + misspelt(*model, "uri"), Finding::Kind::kRequired});
  }
}

void check_spec(const Value& object, Findings& out) {
  const Value* spec = member(object, {"spec"});
  if (spec == nullptr) {
    out.errors.push_back({"/spec", "is required", Finding::Kind::kRequired});
    return;
  }
  check_structure(service_spec(), *spec, "/spec", out);
  // The rules look at members of the right type only.
  if (!spec->is_object()) return;
  check_router(*spec, out);
  check_model(*spec, out);
  check_workloads(*spec, out);
  check_scaling(*spec, out);
}

void compare_groups(const Value* before, const Value* after, std::string_view at, Findings& out) {
  if (before == nullptr || after == nullptr) return;
  const std::int64_t was = group_size(*before).value_or(1);
  const std::int64_t is = group_size(*after).value_or(1);
  if (was == is) return;
  out.errors.push_back(
      {fmt::format("{}/parallelism", at),
       fmt::format("total parallelism size is immutable: was {}, is {}", was, is)});
}

}  // namespace

void set_defaults(Value& service) {
  Value* spec = descend(service, {"spec"});
  if (spec == nullptr) return;
  const std::string name(service.string_at({"metadata", "name"}));  // none yet with generateName
  if (Value* model = descend(*spec, {"model"});
      model != nullptr && !name.empty() && model->string_at({"name"}).empty()) {
    (*model)["name"] = name;
  }
  spec = descend(service, {"spec"});
  const std::string group(spec->string_at({"router", "route", "group"}));
  if (!group.empty()) {
    Value& metadata = service["metadata"];
    if (!metadata.is_object()) metadata = Object();
    Value& labels = metadata["labels"];
    if (!labels.is_object()) labels = Object();
    labels[kRoutingGroup] = group;
  } else if (Value* labels = descend(service, {"metadata", "labels"})) {
    labels->if_object()->erase(kRoutingGroup);
  }
  spec = descend(service, {"spec"});
  for (const auto& path : {std::initializer_list<std::string_view>{"template"},
                           {"worker"},
                           {"prefill", "template"},
                           {"prefill", "worker"},
                           {"router", "scheduler", "template"}}) {
    Value* pod = descend(*spec, path);
    if (pod == nullptr) continue;
    Value& containers = (*pod)["containers"];
    if (containers.is_null()) containers = Array();
  }
}

Findings check_identity(const Value& object) {
  Findings out;
  // An unquoted `n` or `123` is no string in YAML.
  for (const std::string_view key : {"name", "namespace"}) {
    const Value* value = member(object, {"metadata", key});
    if (value != nullptr && !value->is_string()) {
      out.errors.push_back(
          {fmt::format("/metadata/{}", key),
           fmt::format("expected a string (quote it), is {}", text::json::dump(*value))});
    }
  }
  if (!out.errors.empty()) return out;
  const std::string_view name = object.string_at({"metadata", "name"});
  if (name.empty()) {
    out.errors.push_back({"/metadata/name", "is required", Finding::Kind::kRequired});
  } else if (!is_dns_label(name)) {
    out.errors.push_back(
        {"/metadata/name",
         fmt::format("must be 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends, is "
                     "'{}'",
                     name)});
  }
  const std::string_view ns = object.string_at({"metadata", "namespace"});
  if (!ns.empty() && !is_dns_label(ns)) {
    out.errors.push_back({"/metadata/namespace", fmt::format("'{}' is no DNS label", ns)});
  }
  return out;
}

Findings validate(const Value& service, Completeness completeness) {
  Findings out;
  check_spec(service, out);
  check_dra(service, out);
  const Value* spec = member(service, {"spec"});
  if (spec == nullptr || !spec->is_object()) return out;
  const Value* refs = member(*spec, {"baseRefs"});
  const bool may_inherit = completeness == Completeness::kPartial && refs != nullptr &&
                           refs->is_array() && !refs->if_array()->empty();
  if (!may_inherit) check_model_is_there(*spec, out);
  return out;
}

Findings validate_v1alpha1(const Value& service) {
  Findings out;
  if (const Value* spec = member(service, {"spec"})) check_parents_once(*spec, out);
  return out;
}

Findings validate_config(const Value& config) {
  Findings out;
  if (member(config, {"spec"}) == nullptr) return out;
  check_structure(service_spec(), *config.find("spec"), "/spec", out);
  const Value* refs = member(config, {"spec", "baseRefs"});
  if (refs != nullptr && refs->is_array() && !refs->if_array()->empty()) {
    out.errors.push_back(
        {"/spec/baseRefs", "a config cannot refer to others", Finding::Kind::kForbidden});
  }
  return out;
}

Findings validate_update(const Value& before, const Value& after) {
  Findings out;
  compare_groups(member(before, {"spec"}), member(after, {"spec"}), "/spec", out);
  compare_groups(member(before, {"spec", "prefill"}), member(after, {"spec", "prefill"}),
                 "/spec/prefill", out);
  return out;
}

std::optional<std::int64_t> group_size(const Value& workload) {
  const auto number = [&](std::string_view key) -> std::int64_t {
    const Value* value = member(workload, {"parallelism", key});
    return value == nullptr ? 0 : value->if_int().value_or(0);
  };
  if (const std::int64_t data = number("data"); data > 0) {
    return std::max<std::int64_t>(data / std::max<std::int64_t>(number("dataLocal"), 1), 1);
  }
  const std::int64_t pipeline = number("pipeline");
  return pipeline > 0 ? std::optional(pipeline) : std::nullopt;
}

}  // namespace baton::api
