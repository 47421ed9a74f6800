#pragma once
// The fields of LLMInferenceServiceSpec (v1alpha2) as data: what validation, "did you mean" and
// template data walk. PodSpecs, HTTPRouteSpecs and pool specs are Kubernetes' own and stay opaque.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/text/json.hpp"

namespace baton::api {

struct Struct;

enum class FieldType : std::uint8_t {
  kString,
  kInt,
  kBool,
  kQuantity,      // "10Gi", or a number
  kIntOrPercent,  // 3, "25%"
  kStringMap,
  kPodSpec,
  kRaw,   // any object
  kRaws,  // any list of objects
  kObject,
  kObjects,
};

struct Field {
  std::string_view name;
  FieldType type;
  const Struct* of = nullptr;                    // kObject, kObjects
  std::string_view go_name = {};                 // when it is not the name with a capital
  std::optional<std::int64_t> least = {};        // kInt
  std::optional<std::int64_t> most = {};         // kInt
  std::span<const std::string_view> words = {};  // kString: what it may say
};

struct Struct {
  std::span<const Field> fields;
  const Field* find(std::string_view name) const;
};

const Struct& service_spec();

// A value of type `type` as Go templates see it: members under their Go names where these are not
// just capitalised, and every unset field present as null.
text::json::Value template_view(const Struct& type, const text::json::Value& value);

// The names a container, and a pod spec, may have.
std::span<const std::string_view> container_fields();
std::span<const std::string_view> pod_spec_fields();

}  // namespace baton::api
