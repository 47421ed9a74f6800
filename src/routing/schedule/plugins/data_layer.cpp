// Where endpoints and their load come from (picker reference 4.8).

#include <algorithm>
#include <array>

#include "routing/schedule/engine_metrics.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::array<std::string_view, 2> kSchemes = {"http", "https"};

MetricsSource read_source(Fields& parameters, std::string_view path, Nanos interval) {
  MetricsSource source;
  source.scheme = parameters.choice("scheme", source.scheme, kSchemes);
  source.path = parameters.text("path", path);
  source.port = static_cast<std::uint16_t>(parameters.integer("port", 0, 0, 65535));
  source.insecure_skip_verify = parameters.boolean("insecureSkipVerify", true);
  source.ca_cert_path = parameters.text("caCertPath", "");
  source.client_cert_path = parameters.text("clientCertPath", "");
  source.client_key_path = parameters.text("clientKeyPath", "");
  source.interval = parameters.duration("interval", interval);
  if (!source.path.starts_with('/')) parameters.fail("path", "a path begins with /");
  if (source.client_cert_path.empty() != source.client_key_path.empty()) {
    parameters.fail("clientCertPath", "certificate and key belong together");
  }
  return source;
}

}  // namespace

Plugin make_metrics_data_source(Fields& parameters) {
  Plugin plugin;
  plugin.service = read_source(parameters, "/metrics", Nanos(0));
  return plugin;
}

Plugin make_models_data_source(Fields& parameters) {
  Plugin plugin;
  plugin.service = ModelsSource{read_source(parameters, "/v1/models", std::chrono::seconds(5))};
  return plugin;
}

Plugin make_models_data_extractor(Fields&) {
  Plugin plugin;
  plugin.service = ModelsExtractor{};
  return plugin;
}

Plugin make_core_metrics_extractor(Fields& parameters) {
  MetricsExtractor extractor;
  extractor.engine_label = parameters.text("engineLabelKey", extractor.engine_label);
  extractor.default_engine = parameters.text("defaultEngine", extractor.default_engine);
  const auto& configs = parameters.array("engineConfigs");
  if (!configs.empty()) extractor.engine_configs = configs;
  const auto engines =
      engines_of(extractor.engine_configs,
                 text::json::pointer(parameters.pointer(), "engineConfigs"), parameters.settings());
  if (!engines) {
    parameters.fail("engineConfigs", engines.error().message());
  } else if (std::ranges::find(*engines, extractor.default_engine, &EngineMetrics::name) ==
             engines->end()) {
    parameters.fail("defaultEngine", "there is no such engine");
  }
  Plugin plugin;
  plugin.service = std::move(extractor);
  return plugin;
}

Plugin make_endpoint_notification_source(Fields&) {
  Plugin plugin;
  plugin.service = EndpointNotifications{};
  return plugin;
}

Plugin make_k8s_notification_source(Fields& parameters) {
  ObjectNotifications objects{.group = parameters.text("group", ""),
                              .version = parameters.text("version", ""),
                              .kind = parameters.text("kind", "")};
  if (objects.version.empty()) parameters.fail("version", "the objects' version is missing");
  if (objects.kind.empty()) parameters.fail("kind", "the objects' kind is missing");
  Plugin plugin;
  plugin.service = std::move(objects);
  return plugin;
}

Plugin make_file_discovery(Fields& parameters) {
  FileDiscovery discovery;
  discovery.path = parameters.text("path", "");
  discovery.watch = parameters.boolean("watchFile", false);
  if (discovery.path.empty()) parameters.fail("path", "the file of endpoints is missing");
  Plugin plugin;
  plugin.service = std::move(discovery);
  return plugin;
}

}  // namespace baton::schedule
