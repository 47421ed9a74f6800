#include "control/webhook/config_check.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "control/plan/merge.hpp"
#include "control/plan/presets.hpp"
#include "control/plan/render.hpp"
#include "formats/api/convert.hpp"

namespace baton::webhook {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kSampleName = "test-llm-preset";
constexpr std::string_view kSampleNamespace = "test-llm-preset-test";

// What upstream's validator renders configs for: every part is there. Data parallel there; the
// presets for pipelines need the other sample.
Value sample_spec(Object parallelism) {
  const Object pod{{"containers", Array()}, {"terminationGracePeriodSeconds", 60}};
  return Object{
      {"model", Object{{"uri", "hf://example/llama"}, {"name", "llama"}}},
      {"parallelism", std::move(parallelism)},
      {"template", pod},
      {"worker", pod},
      {"prefill", Object{{"parallelism", Object{{"tensor", 1}, {"pipeline", 1}}},
                         {"template", pod},
                         {"worker", pod}}},
      {"router",
       Object{{"route", Object{{"http", Object{{"spec", Object()}}}}},
              {"gateway",
               Object{{"refs", Array{Object{{"name", "sample"}, {"namespace", "sample"}}}}}},
              {"scheduler",
               Object{{"pool", Object{{"spec", Object()}}}, {"template", pod}, {"replicas", 1}}}}},
      {"tracing", Object()}};
}

Status renders(const Value& spec, const Object& parallelism, const plan::Settings& settings) {
  Value sample = Object{{"apiVersion", api::kApiVersion},
                        {"kind", "LLMInferenceService"},
                        {"metadata", Object{{"name", kSampleName},
                                            {"namespace", kSampleNamespace},
                                            {"labels", Object()},
                                            {"annotations", Object()}}},
                        {"spec", plan::merge(sample_spec(parallelism), spec)}};
  return plan::render(sample, settings);
}

}  // namespace

api::Findings check_templates(const Value& config, const plan::Settings& settings) {
  api::Findings out;
  const Value* spec = config.find("spec");
  if (spec == nullptr || !spec->is_object()) return out;
  const Object data{
      {"tensor", 1}, {"data", 4}, {"dataLocal", 2}, {"dataRPCPort", 5555}, {"expert", true}};
  const Object pipeline{{"tensor", 1}, {"pipeline", 2}};
  const Status rendered = renders(*spec, data, settings);
  if (rendered || renders(*spec, pipeline, settings)) return out;
  // "<pointer>: what"; lists of the sample are empty, so it leads into the config too.
  const std::string& message = rendered.error().message();
  const std::size_t colon = message.find(": ");
  if (message.starts_with("/spec") && colon != std::string::npos) {
    out.errors.push_back({message.substr(0, colon), message.substr(colon + 2)});
  } else {
    out.errors.push_back({"/spec", message});
  }
  return out;
}

bool is_well_known(std::string_view name, const plan::Settings& settings) {
  if (!name.starts_with(settings.config_prefix)) return false;
  name.remove_prefix(settings.config_prefix.size());
  const auto names = plan::preset_names();
  return std::ranges::find(names, name) != names.end();
}

}  // namespace baton::webhook
