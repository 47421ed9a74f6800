#include "routing/schedule/setup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/nearest.hpp"

namespace baton::schedule {
namespace {

// Plugins by name.
class Named {
 public:
  Named(const PickerConfig& config, const std::vector<Plugin>& plugins)
      : config_(config), plugins_(plugins) {}

  // Null: there is none.
  const Plugin* any(std::string_view name) const {
    for (std::size_t i = 0; i < config_.plugins.size(); ++i) {
      if (config_.plugins[i].name == name) return &plugins_[i];
    }
    return nullptr;
  }

  // The plugin that is referred to, as a T.
  template <class T>
  Result<const T*> find(const PluginRef& ref, std::string_view kind) const {
    std::vector<std::string_view> fitting;
    for (std::size_t i = 0; i < config_.plugins.size(); ++i) {
      if (std::holds_alternative<T>(plugins_[i].service))
        fitting.push_back(config_.plugins[i].name);
    }
    const auto* found = any(ref.plugin);
    if (found == nullptr) {
      return invalid(fmt::format("{}: no plugin is named '{}'{}", ref.pointer, ref.plugin,
                                 did_you_mean(ref.plugin, fitting)));
    }
    if (const auto* part = std::get_if<T>(&found->service)) return part;
    return invalid(fmt::format("{}: '{}' is no {}", ref.pointer, ref.plugin, kind));
  }

  // The first plugin of that kind, listed or default.
  template <class T>
  T first(T otherwise) const {
    for (const auto& plugin : plugins_) {
      if (const auto* part = std::get_if<T>(&plugin.service)) return *part;
    }
    return otherwise;
  }

  bool has_type(std::string_view type) const {
    return std::ranges::any_of(config_.plugins,
                               [&](const PluginSpec& spec) { return spec.type == type; });
  }

 private:
  const PickerConfig& config_;
  const std::vector<Plugin>& plugins_;
};

// The producer's, which a scorer of the older generation defers to.
Status set_precise(const std::vector<Plugin>& plugins, Setup& setup) {
  std::size_t producers = 0, scorers = 0;
  std::string tokenizer;
  std::optional<RenderServer> render;
  for (const auto& plugin : plugins) {
    if (const auto* server = std::get_if<RenderServer>(&plugin.service)) render = *server;
    if (const auto* local = std::get_if<LocalTokenizer>(&plugin.service)) tokenizer = local->folder;
    const auto* precise = std::get_if<PreciseParameters>(&plugin.service);
    if (precise == nullptr) continue;
    const bool produces = plugin.produces.has_value();
    ++(produces ? producers : scorers);
    if (produces || !setup.precise) setup.precise = *precise;
  }
  if (producers > 1 || (producers == 0 && scorers > 1)) {
    return invalid(
        "/plugins: engines' KV events are followed once: more than one plugin asks for it");
  }
  if (!setup.precise) {
    if (render) {
      setup.warnings.emplace_back(
          "/plugins: vllm of token-producer has no effect without precise prefixes: prompts are "
          "compared by their bytes");
    }
    return {};
  }
  auto& precise = *setup.precise;
  if (precise.tokenizer.empty()) precise.tokenizer = tokenizer;
  if (precise.tokenizer.empty()) precise.render = render;
  if (precise.tokenizer.empty() && !render) {
    setup.warnings.emplace_back(
        "/plugins: there is no tokenizer for precise prefixes, so prompts are compared by their "
        "bytes: let modelName of token-producer be the model's folder, or its vllm.url a server "
        "that renders prompts");
  }
  return {};
}

void created(Setup& setup, std::string_view type, std::string_view why) {
  setup.effective.push_back({.pointer = "/plugins/-",
                             .value = type,
                             .origin = fmt::format("created: {}", why),
                             .unused = ""});
}

Status set_parsers(const PickerConfig& config, const Named& named, Setup& setup) {
  for (const auto& ref : config.parsers) {
    BATON_TRY_ASSIGN(const Parser* parser, named.find<Parser>(ref, "parser"));
    if (std::ranges::find(setup.parsers, *parser) == setup.parsers.end()) {
      setup.parsers.push_back(*parser);
    } else {
      setup.warnings.push_back(fmt::format("{}: the parser is there already", ref.pointer));
    }
  }
  if (!setup.parsers.empty()) return {};
  setup.parsers = {Parser::kOpenai, Parser::kAnthropic, Parser::kVllmHttp, Parser::kPassthrough};
  for (const std::string_view type :
       {"openai-parser", "anthropic-parser", "vllmhttp-parser", "passthrough-parser"}) {
    if (!named.has_type(type)) created(setup, type, "no parsers are listed");
  }
  return {};
}

// Who is told of endpoints that come and go. Here all are, listed or not.
Status check_endpoint_extractor(const PluginRef& ref, const Named& named) {
  const auto* plugin = named.any(ref.plugin);
  const bool takes = plugin != nullptr &&
                     (std::holds_alternative<Topology>(plugin->service) ||
                      plugin->produces == Data::kInFlight || plugin->produces == Data::kMedia);
  if (takes) return {};
  BATON_TRY(named.find<PreciseParameters>(ref, "extractor of endpoints"));
  return {};
}

Status set_objects(const PickerConfig::Source& source, const ObjectNotifications& objects,
                   const Named& named, Setup& setup) {
  for (const auto& ref : source.extractors) {
    BATON_TRY(named.find<Topology>(ref, "extractor of objects"));
    if (objects != ObjectNotifications{.group = "", .version = "v1", .kind = "Pod"}) {
      return invalid(fmt::format("{}: '{}' takes Pods (version v1), not {}", ref.pointer,
                                 ref.plugin, objects.kind));
    }
  }
  if (source.extractors.empty()) {
    setup.warnings.push_back(
        fmt::format("{}: no extractor takes what it tells", source.source.pointer));
  }
  return {};
}

Status set_models(const PickerConfig::Source& source, const ModelsSource& models,
                  const Named& named, Setup& setup) {
  for (const auto& ref : source.extractors) {
    BATON_TRY(named.find<ModelsExtractor>(ref, "extractor of models"));
    setup.models = models.fetch;
  }
  if (source.extractors.empty()) {
    setup.warnings.push_back(
        fmt::format("{}: no extractor takes what it tells", source.source.pointer));
  }
  return {};
}

Status set_source(const PickerConfig::Source& source, const Named& named, Setup& setup) {
  if (const auto notes = named.find<EndpointNotifications>(source.source, "data source"); notes) {
    for (const auto& ref : source.extractors) {
      BATON_TRY(check_endpoint_extractor(ref, named));
    }
    return {};
  }
  if (const auto objects = named.find<ObjectNotifications>(source.source, "data source"); objects) {
    return set_objects(source, **objects, named, setup);
  }
  if (const auto models = named.find<ModelsSource>(source.source, "data source"); models) {
    return set_models(source, **models, named, setup);
  }
  BATON_TRY_ASSIGN(const MetricsSource* metrics,
                   named.find<MetricsSource>(source.source, "data source"));
  setup.scrapes = true;
  setup.metrics = *metrics;
  bool extracts = false;
  for (const auto& ref : source.extractors) {
    BATON_TRY_ASSIGN(const MetricsExtractor* extractor,
                     named.find<MetricsExtractor>(ref, "extractor"));
    if (extracts) {
      return invalid(fmt::format("{}: the source has such an extractor already", ref.pointer));
    }
    extracts = true;
    setup.extractor = *extractor;
  }
  return {};
}

Status set_data_layer(const PickerConfig& config, const Named& named, Setup& setup) {
  setup.metrics = named.first(MetricsSource{});
  setup.extractor = named.first(MetricsExtractor{});
  setup.scrapes = config.inject_defaults;
  std::size_t fetched = 0;
  std::vector<ObjectNotifications> kinds;
  for (const auto& source : config.sources) {
    BATON_TRY(set_source(source, named, setup));
    if (const auto objects = named.find<ObjectNotifications>(source.source, "data source")) {
      if (std::ranges::find(kinds, **objects) != kinds.end()) {
        return invalid(fmt::format("{}: another source tells of {} already", source.source.pointer,
                                   (*objects)->kind));
      }
      kinds.push_back(**objects);
    }
    fetched += named.find<MetricsSource>(source.source, "data source") ? 1 : 0;
  }
  if (fetched > 1) {
    return Error(
        Code::kUnsupported,
        "/dataLayer/sources: engines are asked at one place only; list one metrics source");
  }
  if (fetched == 0 && config.inject_defaults) {
    if (!named.has_type("metrics-data-source")) {
      created(setup, "metrics-data-source", "dataLayer.injectDefaults");
    }
    if (!named.has_type("core-metrics-extractor")) {
      created(setup, "core-metrics-extractor", "dataLayer.injectDefaults");
    }
  }
  setup.discovery = config.discovery;
  for (const auto& plugin : config.plugins) {
    const bool wired = std::ranges::any_of(
        config.sources, [&](const auto& source) { return source.source.plugin == plugin.name; });
    const bool tells =
        plugin.type == "k8s-notification-source" || plugin.type == "models-data-source";
    if (!tells || wired) continue;
    setup.warnings.push_back(
        fmt::format("/plugins: '{}' has no effect: dataLayer.sources does not "
                    "name it",
                    plugin.name));
  }
  return {};
}

Result<Band> make_band(const BandSpec& spec, const Named& named) {
  Band band{.priority = spec.priority,
            .max_bytes = spec.max_bytes,
            .max_requests = spec.max_requests,
            .fairness = {}};
  if (!spec.fairness.empty()) {
    BATON_TRY_ASSIGN(const Fairness* fairness,
                     named.find<Fairness>(spec.fairness, "fairness policy"));
    band.fairness = *fairness;
  }
  if (!spec.ordering.empty()) {
    BATON_TRY_ASSIGN(const Ordering* ordering,
                     named.find<Ordering>(spec.ordering, "ordering policy"));
    band.ordering = *ordering;
  }
  return band;
}

// Those who are evicted, and in which order: there is one of each.
constexpr std::array<std::string_view, 2> kEvictionPolicies = {
    "priority-then-time-eviction-order-policy", "sheddable-eviction-filter"};

Status set_flow(const PickerConfig& config, const Named& named, Setup& setup) {
  const auto spec = config.flow.value_or(FlowSpec{});
  for (const auto type : kEvictionPolicies) {
    if (!named.has_type(type) || (config.flow_control && spec.evicts)) continue;
    setup.warnings.push_back(fmt::format(
        "/plugins: {} has no effect without flowControl.enableEviction and its feature gate",
        type));
  }
  if (!config.flow_control) return {};
  FlowConfig flow;
  flow.max_bytes = spec.max_bytes;
  flow.max_requests = spec.max_requests;
  flow.ttl = spec.ttl;
  flow.no_endpoint_ttl = spec.no_endpoint_ttl;
  BATON_TRY_ASSIGN(flow.otherwise, make_band(spec.otherwise.value_or(BandSpec{}), named));
  flow.otherwise_negative = flow.otherwise;
  if (spec.otherwise_negative) {
    BATON_TRY_ASSIGN(flow.otherwise_negative, make_band(*spec.otherwise_negative, named));
  }
  for (const auto& each : spec.bands) {
    BATON_TRY_ASSIGN(auto band, make_band(each, named));
    flow.bands.push_back(band);
  }
  if (std::ranges::find(flow.bands, 0, &Band::priority) == flow.bands.end()) {
    flow.bands.push_back(flow.otherwise);
    flow.bands.back().priority = 0;
  }
  std::ranges::sort(flow.bands, std::greater<>(), &Band::priority);
  if (!spec.usage_limit.empty()) {
    BATON_TRY_ASSIGN(const UsageLimit* limit,
                     named.find<UsageLimit>(spec.usage_limit, "usage limit policy"));
    flow.usage_limit = *limit;
  }
  for (const std::string_view type :
       {"fcfs-ordering-policy", "global-strict-fairness-policy", "static-usage-limit-policy"}) {
    if (!named.has_type(type)) created(setup, type, "flow control needs one");
  }
  flow.evicts = spec.evicts;
  for (const auto type : kEvictionPolicies) {
    if (flow.evicts && !named.has_type(type)) created(setup, type, "enableEviction needs one");
  }
  setup.flow = std::move(flow);
  return {};
}

}  // namespace

Result<Setup> make_setup(const PickerConfig& config, const std::vector<Plugin>& plugins) {
  const Named named(config, plugins);
  Setup setup;
  setup.warnings = config.warnings;
  setup.effective = config.settings;
  BATON_TRY(set_parsers(config, named, setup));
  BATON_TRY(set_data_layer(config, named, setup));
  if (config.detector.empty()) {
    if (!named.has_type("utilization-detector")) {
      created(setup, "utilization-detector", "no saturation detector is named");
    }
  } else {
    BATON_TRY_ASSIGN(const Detector* detector,
                     named.find<Detector>(config.detector, "saturation detector"));
    setup.detector = *detector;
  }
  BATON_TRY(set_flow(config, named, setup));
  BATON_TRY(set_precise(plugins, setup));
  for (const auto& plugin : plugins) {
    if (const auto* admitter = std::get_if<ProbabilisticAdmitter>(&plugin.service)) {
      setup.admitters.push_back(*admitter);
    }
    if (std::holds_alternative<LatencySloAdmitter>(plugin.service)) setup.slo_admitter = true;
    if (const auto* output = std::get_if<OutputEstimate>(&plugin.service)) setup.output = *output;
    if (const auto* report = std::get_if<UsageReport>(&plugin.service)) {
      setup.reports.push_back(*report);
    }
    setup.verifies_served =
        setup.verifies_served || std::holds_alternative<ServedVerifier>(plugin.service);
  }
  return setup;
}

std::string describe(const Setup& setup) {
  std::string out;
  for (const auto& one : setup.effective) {
    out += fmt::format("{}: {}  # {}\n", one.pointer, text::json::dump(one.value), one.origin);
  }
  for (const auto& one : setup.effective) {
    if (!one.unused.empty()) out += fmt::format("no effect: {}: {}\n", one.pointer, one.unused);
  }
  for (const auto& warning : setup.warnings) out += fmt::format("warning: {}\n", warning);
  return out;
}

}  // namespace baton::schedule
