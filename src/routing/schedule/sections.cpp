#include "routing/schedule/sections.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/nearest.hpp"

namespace baton::schedule::detail {
namespace {

PluginRef ref_at(Fields& fields, std::string_view key) {
  return {.plugin = fields.text(key, ""), .pointer = text::json::pointer(fields.pointer(), key)};
}

// {pluginRef: name}
PluginRef ref_object(Fields& fields, std::string_view key) {
  if (!fields.has(key)) {
    fields.any(key);
    return {};
  }
  auto inner = fields.object(key);
  auto ref = ref_at(inner, "pluginRef");
  if (ref.empty()) inner.fail("pluginRef", "a plugin reference is missing");
  fields.take_error(inner);
  return ref;
}

std::vector<PluginRef> ref_list(Fields& fields, std::string_view key) {
  std::vector<PluginRef> refs;
  const auto& items = fields.array(key);
  const auto at = text::json::pointer(fields.pointer(), key);
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields item(items[i], text::json::pointer(at, i), fields.settings());
    refs.push_back(ref_at(item, "pluginRef"));
    if (refs.back().empty()) item.fail("pluginRef", "a plugin reference is missing");
    fields.take_error(item);
  }
  return refs;
}

void read_discovery(Fields& fields, PickerConfig& config) {
  const auto ref = ref_object(fields, "discovery");
  if (ref.empty()) return;
  const auto spec = std::ranges::find(config.plugins, ref.plugin, &PluginSpec::name);
  if (spec == config.plugins.end() || spec->type != "file-discovery") {
    const auto problem = spec == config.plugins.end()
                             ? fmt::format("no plugin is named '{}'", ref.plugin)
                             : fmt::format("'{}' is no endpoint discovery", ref.plugin);
    auto inner = fields.object("discovery");
    inner.fail("pluginRef", problem);
    return fields.take_error(inner);
  }
  Fields parameters(spec->parameters, spec->pointer);
  FileDiscovery out;
  out.path = parameters.text("path", "");
  out.watch = parameters.boolean("watchFile", false);
  config.discovery = std::move(out);  // Scheduler::make checks the parameters
}

BandSpec read_band(Fields& fields) {
  BandSpec band;
  const BandSpec standard;
  // 0 stands for the default too.
  const auto limit = [&](std::string_view key, std::int64_t otherwise) {
    const auto given = fields.quantity(key, otherwise);
    return given == 0 ? otherwise : given;
  };
  band.max_bytes = limit("maxBytes", standard.max_bytes);
  band.max_requests = limit("maxRequests", standard.max_requests);
  band.fairness = ref_at(fields, "fairnessPolicyRef");
  band.ordering = ref_at(fields, "orderingPolicyRef");
  return band;
}

std::optional<BandSpec> read_template(Fields& flow, std::string_view key) {
  if (!flow.has(key)) {
    flow.any(key);
    return std::nullopt;
  }
  auto fields = flow.object(key);
  // A template may carry a priority, which says nothing.
  fields.unused("priority", "a template stands for many priorities");
  auto band = read_band(fields);
  flow.take_error(fields);
  return band;
}

void read_bands(Fields& flow, FlowSpec& spec) {
  const auto& items = flow.array("priorityBands");
  const auto at = flow.pointer() + "/priorityBands";
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields fields(items[i], text::json::pointer(at, i), flow.settings());
    auto band = read_band(fields);
    if (!fields.has("priority")) fields.fail("priority", "a band needs a priority");
    band.priority = static_cast<std::int32_t>(fields.integer("priority", 0, INT32_MIN, INT32_MAX));
    const auto same = [&](const BandSpec& other) { return other.priority == band.priority; };
    if (std::ranges::any_of(spec.bands, same)) {
      fields.fail("priority", fmt::format("the priority {} is there twice", band.priority));
    }
    flow.take_error(fields);
    spec.bands.push_back(std::move(band));
  }
}

constexpr std::array<std::string_view, 2> kGates = {"flowControl", "haPopulateNonLeaderDatastore"};

}  // namespace

// "name", "name=true", "name=false".
void read_gates(Fields& root, PickerConfig& config) {
  const auto& items = root.array("featureGates");
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto* gate = items[i].if_string();
    if (gate == nullptr) return root.fail("featureGates", "expected a list of strings");
    const auto equals = gate->find('=');
    const auto name = std::string_view(*gate).substr(0, equals);
    const auto said =
        equals == std::string::npos ? "true" : std::string_view(*gate).substr(equals + 1);
    if (said != "true" && said != "false") {
      return root.fail("featureGates",
                       fmt::format("'{}' is neither {}=true nor {}=false", *gate, name, name));
    }
    if (name == kGates[0]) {
      config.flow_control = said == "true";
    } else if (name == kGates[1]) {
      if (said == "false") {
        root.fail("featureGates", fmt::format("{}: a picker that waits to lead follows the cluster "
                                              "all the same; remove it",
                                              *gate));
      }
    } else {
      return root.fail("featureGates",
                       fmt::format("unknown gate '{}'{}", name, did_you_mean(name, kGates)));
    }
  }
  const auto note = [&](std::string_view gate, bool on) {
    const auto given = std::ranges::any_of(items, [&](const auto& item) {
      return item.if_string() != nullptr && item.if_string()->starts_with(gate);
    });
    config.settings.push_back({.pointer = fmt::format("/featureGates/{}", gate),
                               .value = on,
                               .origin = given ? "given" : "default",
                               .unused = ""});
  };
  note(kGates[0], config.flow_control);
  note(kGates[1], true);
}

void read_data_layer(Fields& root, PickerConfig& config) {
  auto fields = root.object("dataLayer");
  config.inject_defaults = fields.boolean("injectDefaults", true);
  const auto& items = fields.array("sources");
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields item(items[i], text::json::pointer("/dataLayer/sources", i), root.settings());
    PickerConfig::Source source{.source = ref_at(item, "pluginRef"), .extractors = {}};
    if (source.source.empty()) item.fail("pluginRef", "a plugin reference is missing");
    source.extractors = ref_list(item, "extractors");
    fields.take_error(item);
    config.sources.push_back(std::move(source));
  }
  read_discovery(fields, config);
  fields.later("peerDiscovery", "replicas do not share state; remove it");
  fields.later("crossReplicaSyncerPluginRef", "replicas do not share state; remove it");
  fields.later("crossReplicaSyncInterval", "replicas do not share state; remove it");
  root.take_error(fields);
}

void read_flow_control(Fields& root, PickerConfig& config) {
  const bool given = root.has("flowControl");
  auto fields = root.object("flowControl");
  if (given) {
    const auto first = config.settings.size();
    FlowSpec spec;
    spec.max_bytes = fields.quantity("maxBytes", 0);
    spec.max_requests = fields.quantity("maxRequests", 0);
    spec.ttl = fields.duration("defaultRequestTTL", spec.ttl);
    spec.no_endpoint_ttl = fields.duration("noEndpointRequestTTL", spec.ttl);
    spec.otherwise = read_template(fields, "defaultPriorityBand");
    spec.otherwise_negative = read_template(fields, "defaultNegativePriorityBand");
    read_bands(fields, spec);
    spec.usage_limit = ref_at(fields, "usageLimitPolicyPluginRef");
    spec.evicts = fields.boolean("enableEviction", false);
    const bool other_than_detector = config.settings.size() > first;
    for (auto i = first; !config.flow_control && i < config.settings.size(); ++i) {
      config.settings[i].unused = "the feature gate flowControl is off";
    }
    config.detector = ref_object(fields, "saturationDetector");
    if (!config.flow_control && other_than_detector) {
      const auto written = std::any_of(
          config.settings.begin() + static_cast<std::ptrdiff_t>(first), config.settings.end(),
          [](const Setting& s) { return s.origin == "given" && !s.unused.empty(); });
      if (written) {
        config.warnings.emplace_back(
            "/flowControl: has no effect while the feature gate flowControl is off");
      }
    }
    config.flow = std::move(spec);
  }
  root.take_error(fields);
  auto old = ref_object(root, "saturationDetector");
  if (old.empty()) return;
  config.warnings.emplace_back(
      "/saturationDetector: deprecated, use /flowControl/saturationDetector");
  if (config.detector.empty()) config.detector = std::move(old);
}

void read_parsers(Fields& root, PickerConfig& config) {
  auto fields = root.object("requestHandler");
  config.parsers = ref_list(fields, "parsers");
  root.take_error(fields);
  auto old = ref_object(root, "parser");
  if (old.empty()) return;
  config.warnings.emplace_back("/parser: deprecated, use /requestHandler/parsers");
  if (config.parsers.empty()) config.parsers.push_back(std::move(old));
}

}  // namespace baton::schedule::detail
