// Where endpoints and their load come from (picker reference 4.8).

#include <array>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::array<std::string_view, 2> kSchemes = {"http", "https"};

}  // namespace

Plugin make_metrics_data_source(Fields& parameters) {
  MetricsSource source;
  source.scheme = parameters.choice("scheme", source.scheme, kSchemes);
  source.path = parameters.text("path", source.path);
  source.port = static_cast<std::uint16_t>(parameters.integer("port", 0, 0, 65535));
  source.insecure_skip_verify = parameters.boolean("insecureSkipVerify", true);
  source.ca_cert_path = parameters.text("caCertPath", "");
  source.client_cert_path = parameters.text("clientCertPath", "");
  source.client_key_path = parameters.text("clientKeyPath", "");
  source.interval = parameters.duration("interval", Nanos(0));
  if (!source.path.starts_with('/')) parameters.fail("path", "a path begins with /");
  if (source.client_cert_path.empty() != source.client_key_path.empty()) {
    parameters.fail("clientCertPath", "certificate and key belong together");
  }
  Plugin plugin;
  plugin.service = std::move(source);
  return plugin;
}

Plugin make_core_metrics_extractor(Fields& parameters) {
  MetricsExtractor extractor;
  extractor.engine_label = parameters.text("engineLabelKey", extractor.engine_label);
  extractor.default_engine = parameters.text("defaultEngine", extractor.default_engine);
  const auto& engines = parameters.array("engineConfigs");
  std::vector<std::string_view> names;
  for (const auto& engine : engines) {
    const auto name = engine.string_at({"name"});
    if (name.empty()) parameters.fail("engineConfigs", "an engine needs a name");
    if (name == "default") parameters.fail("engineConfigs", "the name 'default' is reserved");
    for (const auto other : names) {
      if (other == name) parameters.fail("engineConfigs", "an engine is there twice");
    }
    names.push_back(name);
  }
  if (!engines.empty()) extractor.engine_configs = engines;
  for (const std::string_view builtin : {"vllm", "sglang", "trtllm-serve", "triton-tensorrt-llm"}) {
    names.push_back(builtin);
  }
  bool known = false;
  for (const auto name : names) known = known || name == extractor.default_engine;
  if (!known) parameters.fail("defaultEngine", "there is no such engine");
  Plugin plugin;
  plugin.service = std::move(extractor);
  return plugin;
}

Plugin make_endpoint_notification_source(Fields&) {
  Plugin plugin;
  plugin.service = EndpointNotifications{};
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
