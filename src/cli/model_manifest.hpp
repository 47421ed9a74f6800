#pragma once
// The manifest of `serve MODEL`: what a person would have written. Pure but for choose_model(),
// which looks whether a folder is meant.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/core/result.hpp"

namespace baton::cli {

enum class Topology : std::uint8_t {
  kStandard,  // one pod does both: least memory, all cores on every request
  kSplit,     // a prefill pod and a decode pod
};

struct ModelChoice {
  std::string uri;   // as a manifest has it: baton://, file://, hf://ORG/NAME:REVISION
  std::string name;  // that requests ask for
};

// A folder with a config.json; a URI; ORG/NAME of the hub, with @REVISION or not; NAME of a model
// that comes with Baton. kInvalid: none of these.
Result<ModelChoice> choose_model(const std::string& given);

// What a chat on a laptop needs; a longer context is one flag more in the printed manifest.
inline constexpr std::uint64_t kDefaultContext = 8192;  // tokens

// The context to ask the engine for: kDefaultContext when the model's config.json tells of a longer
// one. nullopt: its own.
std::optional<std::uint64_t> context_for(std::string_view config_json);

// YAML. A resource name is made of the model's.
std::string model_manifest(const ModelChoice& model, Topology topology,
                           std::optional<std::uint64_t> context);

}  // namespace baton::cli
