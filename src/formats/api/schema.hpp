#pragma once
// LLMInferenceService and LLMInferenceServiceConfig as data: what validation, "did you mean",
// template data and the custom resource definitions (crd.hpp) walk. Kubernetes' own parts,
// PodSpecs, HTTPRoute specs and pool specs, have a shape here too; it is told to the API server
// only, and names beyond it pass.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/text/json.hpp"

namespace baton::api {

struct Struct;

enum class FieldType : std::uint8_t {
  kString,
  kInt,   // 32 bits
  kLong,  // 64 bits
  kBool,
  kQuantity,      // "10Gi", or a number
  kIntOrPercent,  // 3, "25%"
  kStrings,
  kStringMap,
  kQuantityMap,
  kPodSpec,  // `of` is its shape
  kRaw,      // any object; with `of`, one of Kubernetes' own of that shape
  kRaws,     // any list of objects; with `of`, likewise
  kObject,
  kObjects,
};

enum class Versions : std::uint8_t { kBoth, kV1Alpha1, kV1Alpha2 };

// Members that only the definitions use stand below `says`.
struct Field {
  std::string_view name;
  FieldType type;
  const Struct* of = nullptr;
  std::string_view go_name = {};                 // when it is not the name with a capital
  std::optional<std::int64_t> least = {};        // of a number
  std::optional<std::int64_t> most = {};         // of a number
  std::span<const std::string_view> words = {};  // kString: what it may say
  Versions versions = Versions::kBoth;

  std::string_view says = {};  // what `kubectl explain` says
  bool needed = false;
  std::string_view preset = {};                 // what the API server fills in, as JSON
  std::string_view pattern = {};                // of a string, or of the values of a map
  std::optional<std::int64_t> shortest = {};    // characters, items or members
  std::optional<std::int64_t> longest = {};     // characters, items or members
  std::span<const std::string_view> keys = {};  // a list that merges by these members
};

// An expression of the API server's (CEL), over the object it stands at.
struct Rule {
  std::string_view holds;
  std::string_view message;
};

struct Struct {
  std::span<const Field> fields;
  std::span<const Rule> rules = {};
  bool open = false;  // names beyond `fields` are kept
  // Of v1alpha2.
  const Field* find(std::string_view name) const;
};

const Struct& service_spec();
const Struct& service_status();
const Struct& config_status();

// A value of type `type` as Go templates see it: members under their Go names where these are not
// just capitalised, and every unset field present as null.
text::json::Value template_view(const Struct& type, const text::json::Value& value);

const Struct& pod_spec();
const Struct& container();

}  // namespace baton::api
