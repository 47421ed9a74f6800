#include "routing/epp/plugin_times.hpp"

namespace baton::epp {
namespace {

const std::vector<double> kPluginSeconds = {.0001, .0002, .0005, .001, .002,
                                            .005,  .01,   .02,   .05,  .1};

}  // namespace

PluginTimes::PluginTimes(observe::Registry& registry,
                         const std::vector<schedule::TimedPlugin>& plugins) {
  constexpr std::string_view kHelp = "time of one plugin in one decision";
  for (const auto& plugin : plugins) {
    const observe::Labels labels = {{"extension_point", plugin.point},
                                    {"plugin_type", plugin.type},
                                    {"plugin_name", plugin.name}};
    histograms_.push_back(
        {&registry.histogram("llm_d_epp_plugin_duration_seconds", kHelp, kPluginSeconds, labels),
         &registry.histogram("inference_extension_plugin_duration_seconds", kHelp, kPluginSeconds,
                             labels)});
  }
}

void PluginTimes::took(const schedule::Laps& laps) {
  for (const auto& lap : laps.all()) {
    for (auto* histogram : histograms_[lap.plugin]) histogram->observe(seconds(lap.took));
  }
}

}  // namespace baton::epp
