#include "control/plan/picker_migrations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/text/yaml.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/picker_document.hpp"
#include "control/plan/picker_flags.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;
using Flags = std::map<std::string, std::string>;

constexpr Version kV07{0, 7, 0}, kV08{0, 8, 0}, kV09{0, 9, 0}, kV010{0, 10, 0};

constexpr std::string_view kPdHandler = "disagg-profile-handler";
constexpr std::string_view kAlways = "always-disagg-pd-decider";
constexpr std::string_view kByPrefix = "prefix-based-pd-decider";
constexpr std::string_view kPreciseScorer = "precise-prefix-cache-scorer";
constexpr std::string_view kPreciseProducer = "precise-prefix-cache-producer";
constexpr std::string_view kPrefixScorer = "prefix-cache-scorer";
constexpr std::string_view kTokens = "token-producer";
constexpr std::string_view kProducerName = "prefixMatchInfoProducerName";
constexpr std::string_view kTokenizerSocket = "/tmp/tokenizer/tokenizer-uds.socket";
constexpr std::string_view kTokenizerModel = "/mnt/models/base";
constexpr double kBytesPerToken = 4;
constexpr double kMostTokens = 1e15;

void erase(Value& from, std::string_view key) {
  if (Object* members = from.if_object()) members->erase(key);
}

// Where a decider comes from: its plugin, and what it is made of when it is missing.
struct Decider {
  std::string name;
  Value plugin;
};

Result<Decider> by_threshold(PickerDocument& document, const Value& threshold,
                             std::size_t handler) {
  const auto bytes = threshold.if_double();
  if (!bytes) {
    return invalid(fmt::format("plugins/{}/parameters/threshold: expected a number, is {}", handler,
                               threshold.kind_name()));
  }
  Object plugin{{"type", kAlways}};
  if (*bytes > 0) {
    const double tokens = std::clamp(std::ceil(*bytes / kBytesPerToken), 1.0, kMostTokens);
    plugin = Object{{"type", kByPrefix},
                    {"parameters", Object{{"nonCachedTokens", static_cast<std::int64_t>(tokens)}}}};
  }
  const std::string type(*plugin.find("type")->if_string());
  const Value* present = document.of_type(type);
  return Decider{present == nullptr ? type : std::string(PickerDocument::name(*present)),
                 std::move(plugin)};
}

// The picker loads plugins in order: a decider stands before the handler that names it.
void put_before(Array& plugins, std::size_t handler, const Decider& decider) {
  const auto found = std::ranges::find_if(
      plugins, [&](const Value& plugin) { return PickerDocument::name(plugin) == decider.name; });
  const auto at = static_cast<std::size_t>(found - plugins.begin());
  if (at < handler) return;
  Value plugin = found == plugins.end() ? decider.plugin : *found;
  if (plugin.is_null()) return;  // a name that nobody declares: the picker will say so
  if (found != plugins.end()) plugins.erase(found);
  plugins.insert(plugins.begin() + static_cast<std::ptrdiff_t>(handler), std::move(plugin));
}

Status migrate_deciders(PickerDocument& document) {
  Array& plugins = document.plugins();
  for (std::size_t i = 0; i < plugins.size(); ++i) {
    if (plugins[i].string_at({"type"}) != kPdHandler) continue;
    Value* given = plugins[i].find("parameters");
    if (given == nullptr || !given->is_object()) continue;
    const Value parameters = *given;
    const Value* threshold = get(parameters, {"threshold"});
    std::string_view named = parameters.string_at({"deciders", "prefill"});
    if (named.empty()) named = parameters.string_at({"deciderPluginName"});
    Decider decider{std::string(named), {}};
    if (named == kAlways || named == kByPrefix) decider.plugin = Object{{"type", named}};
    if (named.empty() && threshold != nullptr) {
      BATON_TRY_ASSIGN(decider, by_threshold(document, *threshold, i));
    }
    erase(*given, "threshold");
    erase(*given, "deciderPluginName");
    if (decider.name.empty()) continue;
    Value& deciders = (*given)["deciders"];
    if (!deciders.is_object()) deciders = Object();
    deciders["prefill"] = decider.name;
    const std::size_t before = plugins.size();
    put_before(plugins, i, decider);
    i += plugins.size() - before;
    while (plugins[i].string_at({"type"}) != kPdHandler) ++i;  // moved by what was put before it
  }
  return {};
}

void drop_hash_block_size(PickerDocument& document) {
  for (Value& plugin : document.plugins()) {
    if (Value* parameters = plugin.find("parameters")) erase(*parameters, "hashBlockSize");
  }
}

void keep_only_producer_name(PickerDocument& document) {
  for (Value& plugin : document.plugins()) {
    Value* parameters = plugin.find("parameters");
    if (plugin.string_at({"type"}) != kPrefixScorer || parameters == nullptr) continue;
    const Value* name = parameters->find(kProducerName);
    if (name == nullptr) {
      erase(plugin, "parameters");
    } else {
      *parameters = Object{{kProducerName.data(), *name}};
    }
  }
}

Object token_producer(std::string_view url) {
  return {{"type", kTokens},
          {"parameters", Object{{"modelName", kTokenizerModel}, {"vllm", Object{{"url", url}}}}}};
}

// The user's values stay.
void complete_token_producers(PickerDocument& document, std::string_view url) {
  for (Value& plugin : document.plugins()) {
    if (plugin.string_at({"type"}) != kTokens) continue;
    Value& parameters = PickerDocument::parameters(plugin);
    if (get(parameters, {"modelName"}) == nullptr) parameters["modelName"] = kTokenizerModel;
    Value& vllm = parameters["vllm"];
    if (!vllm.is_object()) vllm = Object();
    if (get(vllm, {"url"}) == nullptr) vllm["url"] = url;
  }
}

// How tokens become blocks is said one level higher than it once was.
void lift_token_settings(Value& parameters) {
  Value* indexer = parameters.find("indexerConfig");
  const Value* nested = indexer == nullptr ? nullptr : indexer->find("tokenProcessorConfig");
  if (nested == nullptr) return;
  const Value lifted = *nested;
  erase(*indexer, "tokenProcessorConfig");
  if (get(parameters, {"tokenProcessorConfig"}) == nullptr) {
    parameters["tokenProcessorConfig"] = lifted;
  }
}

// Tokens come from the tokenizer now.
Value producer_parameters(const Value& scorer) {
  const Value* given = get(scorer, {"parameters"});
  if (given == nullptr || !given->is_object()) return {};
  Value out = *given;
  if (Value* indexer = out.find("indexerConfig")) erase(*indexer, "tokenizersPoolConfig");
  lift_token_settings(out);
  return out;
}

// One scorer that did everything becomes three: tokens, matches, scores.
void split_precise_scorer(PickerDocument& document, std::string_view url) {
  Array& plugins = document.plugins();
  const auto found = std::ranges::find_if(
      plugins, [](const Value& plugin) { return plugin.string_at({"type"}) == kPreciseScorer; });
  if (found == plugins.end()) return;
  const Value old = *found;
  const auto at = plugins.erase(found) - plugins.begin();
  const std::string old_name(PickerDocument::name(old));

  Value* scorer = old.string_at({"name"}).empty() ? document.of_type(kPrefixScorer) : nullptr;
  std::string scorer_name(kPrefixScorer);
  Array added;
  if (document.of_type(kTokens) == nullptr) added.emplace_back(token_producer(url));
  if (document.of_type(kPreciseProducer) == nullptr) {
    Value producer = Object{{"type", kPreciseProducer}};
    if (Value parameters = producer_parameters(old); !parameters.is_null()) {
      producer["parameters"] = std::move(parameters);
    }
    added.push_back(std::move(producer));
  }
  if (scorer != nullptr) {
    scorer_name = PickerDocument::name(*scorer);
    PickerDocument::parameters(*scorer)[kProducerName] = kPreciseProducer;
  } else {
    Object made{{"type", kPrefixScorer}};
    if (const std::string_view own = old.string_at({"name"}); !own.empty()) {
      made.set("name", own);
      scorer_name = own;
    }
    made.set("parameters", Object{{kProducerName.data(), kPreciseProducer}});
    added.emplace_back(std::move(made));
  }
  plugins.insert(plugins.begin() + at, std::make_move_iterator(added.begin()),
                 std::make_move_iterator(added.end()));
  if (old_name != scorer_name) document.rename_references(old_name, scorer_name);
}

// --- flags that became configuration ---

constexpr KnownFlag kMetricNames[] = {{"total-queued-requests-metric"},
                                      {"total-running-requests-metric"},
                                      {"kv-cache-usage-percentage-metric"},
                                      {"lora-info-metric"},
                                      {"cache-info-metric"}};
constexpr std::pair<std::string_view, std::string_view> kSpecs[] = {
    {"total-queued-requests-metric", "queuedRequestsSpec"},
    {"total-running-requests-metric", "runningRequestsSpec"},
    {"kv-cache-usage-percentage-metric", "kvUsageSpec"},
    {"lora-info-metric", "loraSpec"},
    {"cache-info-metric", "cacheInfoSpec"}};
constexpr KnownFlag kMetricsSource[] = {
    {"model-server-metrics-scheme"},
    {"model-server-metrics-path"},
    {"model-server-metrics-port"},
    {"model-server-metrics-https-insecure-skip-verify", FlagKind::kBool}};

// Go's strconv.ParseBool.
std::optional<bool> go_bool(std::string_view text) {
  static constexpr std::string_view kTrue[] = {"1", "t", "T", "true", "TRUE", "True"};
  static constexpr std::string_view kFalse[] = {"0", "f", "F", "false", "FALSE", "False"};
  if (std::ranges::find(kTrue, text) != std::end(kTrue)) return true;
  if (std::ranges::find(kFalse, text) != std::end(kFalse)) return false;
  return std::nullopt;
}

void add_engine_metrics(PickerDocument& document, const Flags& flags) {
  Value* plugin = document.of_type("core-metrics-extractor");
  if (plugin == nullptr) plugin = document.of_type("model-server-protocol-metrics");
  if (plugin == nullptr) {
    document.plugins().emplace_back(Object{{"type", "model-server-protocol-metrics"}});
    plugin = &document.plugins().back();
  }
  Value& parameters = PickerDocument::parameters(*plugin);
  if (get(parameters, {"engineLabelKey"}) == nullptr) {
    parameters["engineLabelKey"] = "inference.networking.k8s.io/engine-type";
  }
  if (parameters.string_at({"defaultEngine"}).empty()) parameters["defaultEngine"] = "vllm";
  const std::string engine(parameters.string_at({"defaultEngine"}));
  Value& engines = parameters["engineConfigs"];
  if (named(&engines, engine) == nullptr) add_named(engines, Object{{"name", engine}});
  Value& entry = *named(&engines, engine);
  for (const auto& [flag, spec] : kSpecs) {
    const auto value = flags.find(std::string(flag));
    if (value != flags.end() && get(entry, {spec}) == nullptr) entry[spec] = value->second;
  }
}

Status add_metrics_source(PickerDocument& document, const Flags& flags) {
  Object wanted;
  for (const auto& [flag, value] : flags) {
    if (flag.ends_with("-scheme")) wanted.set("scheme", value);
    if (flag.ends_with("-path")) wanted.set("path", value);
    if (!flag.ends_with("-insecure-skip-verify")) continue;
    const auto verdict = go_bool(value);
    if (!verdict) return invalid(fmt::format("--{}: expected true or false, is '{}'", flag, value));
    wanted.set("insecureSkipVerify", *verdict);
  }
  Value* plugin = document.of_type("metrics-data-source");
  if (plugin == nullptr) {
    document.plugins().emplace_back(Object{{"type", "metrics-data-source"}});
    plugin = &document.plugins().back();
  }
  Value& parameters = PickerDocument::parameters(*plugin);
  for (const auto& [key, value] : wanted) {
    if (get(parameters, {key}) == nullptr) parameters[key] = value;
  }
  return {};
}

std::string listed(const Flags& flags) {
  std::string out;
  for (const auto& [flag, value] : flags) fmt::format_to(std::back_inserter(out), " --{}", flag);
  return out;
}

// Without a text to move them to.
Error homeless(const Flags& flags, Version version) {
  return invalid(fmt::format(
      "an endpoint picker of version {}.{}.{} does not know{}: put the configuration into "
      "/spec/router/scheduler/config/inline, where they can become part of it",
      version.major, version.minor, version.patch, listed(flags)));
}

// The picker's own text, parsed; unset when it is in a file or nowhere.
Result<std::optional<Value>> own_config(const Value& main) {
  const ConfigFlag flag = config_flag(main);
  if (flag.source != ConfigSource::kText) return std::optional<Value>();
  BATON_TRY_ASSIGN(Value parsed, text::yaml::parse(flag.value, "picker configuration"));
  if (!parsed.is_object()) {
    return invalid(
        fmt::format("picker configuration: expected an object, is {}", parsed.kind_name()));
  }
  const Value* plugins = parsed.find("plugins");
  if (plugins != nullptr && !plugins->is_array() && !plugins->is_null()) {
    return invalid(
        fmt::format("picker configuration: plugins: expected a list, is {}", plugins->kind_name()));
  }
  return std::optional<Value>(std::move(parsed));
}

void ask_the_socket(Value& scorer) {
  Value& parameters = PickerDocument::parameters(scorer);
  lift_token_settings(parameters);
  if (Value* processor = parameters.find("tokenProcessorConfig")) {
    const Value* old = get(*processor, {"blockSize"});
    if (old != nullptr && get(*processor, {"blockSizeTokens"}) == nullptr) {
      (*processor)["blockSizeTokens"] = Value(*old);
    }
    erase(*processor, "blockSize");
  }
  Value& indexer = parameters["indexerConfig"];
  if (!indexer.is_object()) indexer = Object();
  Value& pool = indexer["tokenizersPoolConfig"];
  if (!pool.is_object()) pool = Object();
  pool["modelName"] = "base";  // the folder that the container is given
  Value& socket = pool["uds"];
  if (!socket.is_object()) socket = Object();
  socket["socketFile"] = kTokenizerSocket;
}

void drop_tokenizer_sidecar(Value& pod, const Value& config) {
  const bool needed = std::ranges::any_of(items(config.find("plugins")), [](const Value& plugin) {
    return plugin.string_at({"type"}) == kPreciseScorer;
  });
  Value* containers = pod.find("containers");
  if (needed || containers == nullptr || !containers->is_array()) return;
  std::erase_if(*containers->if_array(),
                [](const Value& one) { return one.string_at({"name"}) == "tokenizer"; });
}

// Flags that a picker of the version does not know, taken off the command line.
struct LostFlags {
  Flags metric_names, metrics_source;
};

Result<LostFlags> take_lost_flags(Value& main, Version version) {
  LostFlags out;
  if (version >= kV07) {
    BATON_TRY_ASSIGN(out.metric_names, take_flags(main, kMetricNames));
  }
  if (version >= kV010) {
    BATON_TRY_ASSIGN(out.metrics_source, take_flags(main, kMetricsSource));
    out.metrics_source.erase("model-server-metrics-port");  // each endpoint has its own
  }
  return out;
}

Status move_into(const LostFlags& flags, Value& config) {
  PickerDocument document(config);
  if (!flags.metric_names.empty()) add_engine_metrics(document, flags.metric_names);
  if (flags.metrics_source.empty()) return {};
  return add_metrics_source(document, flags.metrics_source);
}

}  // namespace

Status migrate_config(Value& config, Version version, std::string_view tokenizer_url) {
  if (version < kV07) return {};
  const bool has_list = std::as_const(config).find("plugins") != nullptr;
  PickerDocument document(config);
  document.rename_type("prefill-header-handler", "disagg-headers-handler");
  document.rename_type("pd-profile-handler", kPdHandler);
  BATON_TRY(migrate_deciders(document));
  drop_hash_block_size(document);
  if (version >= kV08) {
    document.rename_type("model-server-protocol-metrics", "core-metrics-extractor");
  }
  if (version >= kV09) {
    keep_only_producer_name(document);
    if (config.string_at({"apiVersion"}) == "inference.networking.x-k8s.io/v1alpha1") {
      config["apiVersion"] = "llm-d.ai/v1alpha1";
    }
    if (!tokenizer_url.empty()) {
      split_precise_scorer(document, tokenizer_url);
      complete_token_producers(document, tokenizer_url);
    }
  }
  if (!has_list && document.plugins().empty()) erase(config, "plugins");
  return {};
}

Status use_tokenizer_sidecar(Value& pod) {
  Value* main = named(pod.find("containers"), "main");
  if (main == nullptr || named(pod.find("containers"), "tokenizer") == nullptr) return {};
  BATON_TRY_ASSIGN(std::optional<Value> config, own_config(*main));
  if (!config) return {};
  const Value before = *config;
  for (Value& plugin : items(config->find("plugins"))) {
    if (plugin.string_at({"type"}) == kPreciseScorer) ask_the_socket(plugin);
  }
  if (*config != before) set_config_text(*main, text::yaml::dump(*config));
  return {};
}

Status migrate_picker(Value& pod, Version version, std::string_view tokenizer_url) {
  Value* main = named(pod.find("containers"), "main");
  if (main == nullptr || version < kV07) return {};
  BATON_TRY_ASSIGN(const LostFlags flags, take_lost_flags(*main, version));
  BATON_TRY_ASSIGN(const std::optional<Value> before, own_config(*main));
  if (!before) {
    if (!flags.metric_names.empty()) return homeless(flags.metric_names, version);
    if (!flags.metrics_source.empty()) return homeless(flags.metrics_source, version);
    return {};
  }
  std::optional<Value> config = before;
  BATON_TRY(move_into(flags, *config));
  BATON_TRY(migrate_config(*config, version, tokenizer_url).with("picker configuration"));
  // An unchanged text keeps its comments.
  if (*config != *before) set_config_text(*main, text::yaml::dump(*config));
  if (version >= kV09) drop_tokenizer_sidecar(pod, *config);
  return {};
}

}  // namespace baton::plan
