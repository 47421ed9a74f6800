#include "control/plan/presets.hpp"

#include <map>
#include <string>
#include <utility>

#include "base/core/assert.hpp"
#include "base/text/yaml.hpp"
#include "control/plan/embedded.hpp"
#include "control/plan/merge.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Value;

std::string_view embedded(std::string_view name) {
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.name == name) return file.text;
  }
  return {};
}

Value embedded_yaml(std::string_view name) {
  auto value = text::yaml::parse(embedded(name), name);
  BATON_ASSERT(value.has_value());  // a test reads every file
  return *std::move(value);
}

// Fills in what engine-pod.yaml and routing-sidecar.yaml hold for all of them.
void complete(Value& workload) {
  static const Value kPod = embedded_yaml("engine-pod.yaml");
  static const Value kSidecar = embedded_yaml("routing-sidecar.yaml");
  for (const std::string_view place : {"template", "worker"}) {
    Value* pod = workload.find(place);
    if (pod == nullptr) continue;
    *pod = merge(kPod, *pod);
    Value* inits = pod->find("initContainers");
    if (inits == nullptr) continue;
    for (Value& container : *inits->if_array()) {
      if (container.string_at({"name"}) == kSidecar.string_at({"name"})) {
        container = merge(kSidecar, container);
      }
    }
  }
}

const std::map<std::string, Value, std::less<>>& presets() {
  static const auto kPresets = [] {
    std::map<std::string, Value, std::less<>> all;
    for (const EmbeddedFile& file : embedded_files()) {
      if (!file.name.starts_with("config-llm-")) continue;
      Value spec = std::move(*embedded_yaml(file.name).find("spec"));
      complete(spec);
      if (Value* prefill = spec.find("prefill")) complete(*prefill);
      const std::string_view name = file.name.substr(0, file.name.rfind(".yaml"));
      all.emplace(name, std::move(spec));
    }
    return all;
  }();
  return kPresets;
}

}  // namespace

const Value* preset_spec(std::string_view name) {
  const auto found = presets().find(name);
  return found == presets().end() ? nullptr : &found->second;
}

std::vector<std::string_view> preset_names() {
  std::vector<std::string_view> names;
  for (const auto& [name, spec] : presets()) names.emplace_back(name);
  return names;
}

std::string_view engine_script() { return embedded("engine.sh"); }

std::string_view picker_text(std::string_view file) { return embedded(file); }

}  // namespace baton::plan
