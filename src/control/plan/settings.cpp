#include <algorithm>
#include <cctype>

#include "control/plan/plan.hpp"

namespace baton::plan {
namespace {

bool equals_ignoring_case(std::string_view a, std::string_view lower) {
  return std::ranges::equal(a, lower, {}, [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
}

}  // namespace

Settings::ModelRouting model_routing_of(std::string_view text) {
  if (equals_ignoring_case(text, "forced")) return Settings::ModelRouting::kForced;
  if (equals_ignoring_case(text, "disabled")) return Settings::ModelRouting::kDisabled;
  return Settings::ModelRouting::kEnabled;
}

void use_upstream_picker(Settings& settings) {
  settings.picker_image = "llm-d/llm-d-router-endpoint-picker:v0.10.0";
  settings.picker_version = "0.10.0";
}

}  // namespace baton::plan
