#pragma once
// For tests of this folder: plans from YAML text.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/text/yaml.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/plan.hpp"

namespace baton::plan {

inline Value yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

// A service "s" in namespace "n" with a uid; `spec` is YAML, the model is filled in.
inline Value service(std::string_view spec) {
  Value out = yaml(
      "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService, metadata: {name: s, "
      "namespace: ns, uid: u-1}}");
  out["spec"] = yaml(spec);
  if (out.find_path({"spec", "model"}) == nullptr) {
    out["spec"]["model"] = yaml("{uri: 'hf://a/b', name: m}");
  }
  return out;
}

inline Value config(std::string_view name, std::string_view spec) {
  Value out = yaml(
      "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceServiceConfig, metadata: "
      "{namespace: ns}}");
  out["metadata"]["name"] = name;
  out["spec"] = yaml(spec);
  return out;
}

inline ServiceView view(std::string_view spec) {
  ServiceView out;
  out.service = service(spec);
  return out;
}

inline Plan planned(const ServiceView& observed) {
  auto result = plan(observed);
  EXPECT_TRUE(result) << result.error().message();
  return result ? *std::move(result) : Plan{};
}
inline Plan planned(std::string_view spec) { return planned(view(spec)); }

inline std::string refusal(const ServiceView& observed) {
  const auto result = plan(observed);
  return result ? "accepted" : result.error().message();
}

// The child, or null.
inline Value child(const Plan& plan, std::string_view kind, std::string_view name) {
  for (const Value& one : plan.children) {
    if (one.string_at({"kind"}) == kind && name_of(one) == name) return one;
  }
  return {};
}

// The pod spec of a Deployment.
inline Value pod(const Plan& plan, std::string_view deployment) {
  const Value found = child(plan, "Deployment", deployment);
  const Value* spec = found.find_path({"spec", "template", "spec"});
  return spec == nullptr ? Value() : *spec;
}

inline Value container(const Value& pod, std::string_view list, std::string_view name) {
  const Value* found = named(pod.find(list), name);
  return found == nullptr ? Value() : *found;
}
inline Value main_of(const Plan& plan, std::string_view deployment) {
  return container(pod(plan, deployment), "containers", "main");
}

// What fetches the model of service "s".
inline Value initializer(const Plan& plan) {
  return container(pod(plan, "s-kserve"), "initContainers", "storage-initializer");
}

// The mount of the volume, or null.
inline Value mount_of(const Value& container, std::string_view volume) {
  for (const Value& mount : *container.find("volumeMounts")->if_array()) {
    if (mount.string_at({"name"}) == volume) return mount;
  }
  return {};
}

// What is there, as JSON; "" where nothing is.
inline std::string at(const Value& in, std::initializer_list<std::string_view> path) {
  const Value* found = in.find_path(path);
  return found == nullptr ? "" : text::json::dump(*found);
}

inline std::vector<std::string> strings(const Value& in, std::string_view key) {
  std::vector<std::string> out;
  const Value* list = in.find(key);
  if (list == nullptr || !list->is_array()) return out;
  for (const Value& item : *list->if_array()) out.push_back(*item.if_string());
  return out;
}

inline std::vector<std::string> warnings(const Plan& plan) {
  std::vector<std::string> out;
  for (const Warning& one : plan.warnings) out.push_back(one.pointer + ": " + one.message);
  return out;
}

}  // namespace baton::plan
