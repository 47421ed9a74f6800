#include "control/plan/objects.hpp"
#include "control/plan/plan.hpp"

namespace baton::plan {

Settings::ModelRouting model_routing_of(std::string_view text) {
  if (equals_ignoring_case(text, "forced")) return Settings::ModelRouting::kForced;
  if (equals_ignoring_case(text, "disabled")) return Settings::ModelRouting::kDisabled;
  return Settings::ModelRouting::kEnabled;
}

void use_baton_image(Settings& settings, const std::string& image) {
  settings.picker_image = image;
  settings.sidecar_image = image;
  settings.cpu_engine_image = image;
}

void use_upstream_picker(Settings& settings) {
  settings.picker_image = "ghcr.io/llm-d/llm-d-router-endpoint-picker:v0.10.0";
  settings.picker_version = "0.10.0";
}

void use_upstream_engine_and_sidecar(Settings& settings) {
  settings.cpu_engine_image = settings.accelerator_engine_image;
  settings.sidecar_image = "ghcr.io/llm-d/llm-d-router-disagg-sidecar:v0.10.0";
  settings.sidecar_version = "0.10.0";
}

}  // namespace baton::plan
