#include "control/plan/combine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/core/nearest.hpp"
#include "base/text/yaml.hpp"
#include "control/plan/child_name.hpp"
#include "control/plan/labels.hpp"
#include "control/plan/lora.hpp"
#include "control/plan/merge.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/picker_config.hpp"
#include "control/plan/presets.hpp"
#include "control/plan/render.hpp"
#include "formats/api/convert.hpp"
#include "formats/api/validate.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::int64_t kPickerPort = 9002;
constexpr std::string_view kNeverPinned = "config-llm-router-route";
constexpr std::string_view kDefaultConfigKey = "epp";
constexpr std::string_view kSharedPickerConfigs = "config-scheduler-";

struct Config {
  std::string ns;
  const Value* preset = nullptr;  // one that is compiled in, else `own`
  Value own = {};
  std::vector<api::Finding> warnings = {};
  const Value& spec() const { return preset == nullptr ? own : *preset; }
};

struct Source {
  std::string_view origin;  // "Preset" or "UserRef"
  std::string name;
  Config config;
};

bool is_in(const Value& object, std::string_view ns, std::string_view name) {
  return name_of(object) == name && namespace_of(object) == ns;
}

Value spec_of(const Value& object) {
  const Value* spec = object.find("spec");
  return spec == nullptr ? Value(Object()) : *spec;
}

class Lookup {
 public:
  Lookup(const ServiceView& observed, std::string ns) : observed_(observed), ns_(std::move(ns)) {}

  // The service's namespace first, then the system's, then what is compiled in.
  Result<Config> config(std::string_view name, std::string_view pointer) const {
    if (const Value* found = object(name)) return read(*found, name);
    const std::string& prefix = observed_.settings.config_prefix;
    if (name.starts_with(prefix)) {
      if (const Value* spec = preset_spec(name.substr(prefix.size()))) return compiled_in(*spec);
    }
    return missing("LLMInferenceServiceConfig", name, pointer, observed_.configs);
  }

  // A preset under its full name, which an earlier prefix may have made.
  Result<Config> preset(std::string_view name, std::string_view preset) const {
    if (const Value* found = object(name)) return read(*found, name);
    if (name.ends_with(preset)) return compiled_in(*preset_spec(preset));
    return missing("LLMInferenceServiceConfig", name, "/spec", observed_.configs);
  }

  // What scheduler.config.ref of the spec leads to. Contract: it is there.
  Result<std::string> picker_text(const Value& spec) const {
    constexpr std::string_view kPointer = "/spec/router/scheduler/config/ref";
    const Value& ref = *spec.find_path({"router", "scheduler", "config", "ref"});
    const std::string_view name = ref.string_at({"name"});
    std::string_view key = ref.string_at({"key"});
    if (key.empty()) key = kDefaultConfigKey;
    std::vector<std::string> places{ns_};
    if (name.starts_with(kSharedPickerConfigs)) {
      places.push_back(observed_.settings.system_namespace);
    }
    for (const std::string& ns : places) {
      for (const Value& map : observed_.config_maps) {
        if (!is_in(map, ns, name)) continue;
        const std::string_view text = map.string_at({"data", key});
        if (!text.empty()) return std::string(text);
        return not_found(
            fmt::format("{}: ConfigMap {}/{} has no key '{}'", kPointer, ns, name, key));
      }
    }
    return missing("ConfigMap", name, kPointer, observed_.config_maps);
  }

 private:
  const Value* object(std::string_view name) const {
    for (const std::string& ns : {ns_, observed_.settings.system_namespace}) {
      for (const Value& one : observed_.configs) {
        if (is_in(one, ns, name)) return &one;
      }
    }
    return nullptr;
  }

  Result<Config> read(const Value& object, std::string_view name) const {
    BATON_TRY_ASSIGN(const Value converted, api::to_v1alpha2(object).with(name));
    const std::string ns = namespace_of(object);
    const api::Findings findings = api::validate_config(converted);
    if (!findings.errors.empty()) {
      return invalid(fmt::format("LLMInferenceServiceConfig {}/{}: {}", ns, name,
                                 api::to_string(findings.errors)));
    }
    return Config{ns, nullptr, spec_of(converted), findings.warnings};
  }

  Config compiled_in(const Value& spec) const {
    return {observed_.settings.system_namespace, &spec};
  }

  Error missing(std::string_view kind, std::string_view name, std::string_view pointer,
                const std::vector<Value>& there) const {
    const std::string& system = observed_.settings.system_namespace;
    std::vector<std::string> names;
    for (const Value& one : there) {
      const std::string ns = namespace_of(one);
      if (ns == ns_ || ns == system) names.push_back(name_of(one));
    }
    const std::vector<std::string_view> views(names.begin(), names.end());
    return not_found(
        fmt::format("{}: no {} '{}' in namespace {} or {}{}; there {}", pointer, kind, name, ns_,
                    system, did_you_mean(name, views),
                    names.empty() ? "are none" : fmt::format("are: {}", fmt::join(names, ", "))));
  }

  const ServiceView& observed_;
  std::string ns_;
};

bool has(const Value& spec, std::initializer_list<std::string_view> path) {
  return get(spec, path) != nullptr;
}

// The preset of a multi-node workload, "" when its parallelism says neither.
std::string worker_preset(const Value& workload, std::string_view kind) {
  if (has(workload, {"parallelism", "data"}) || has(workload, {"parallelism", "dataLocal"})) {
    return fmt::format("config-llm-{}worker-data-parallel", kind);
  }
  if (has(workload, {"parallelism", "pipeline"})) {
    return fmt::format("config-llm-{}worker-pipeline-parallel", kind);
  }
  return "";
}

// A baseRef may name the model: the service's own name wins, except the one that defaulting wrote.
void settle_model_name(Value& service, const Value& merged) {
  const std::string_view inherited = merged.string_at({"model", "name"});
  const std::string_view own = service.string_at({"spec", "model", "name"});
  if (!inherited.empty() && (own.empty() || own == name_of(service))) {
    service["spec"]["model"]["name"] = inherited;
  }
}

void fill_scheduler(Value& service) {
  Value& spec = service["spec"];
  if (!has(spec, {"router", "scheduler"})) return;
  Value& scheduler = spec["router"]["scheduler"];
  if (has(scheduler, {"pool", "spec"})) {
    Value& pool = scheduler["pool"]["spec"];
    const Value* labels = get(pool, {"selector", "matchLabels"});
    if (labels == nullptr || *labels == Value(Object())) {
      pool["selector"]["matchLabels"] = workload_selector(name_of(service));
    }
    if (Value* picker = pool.find("endpointPickerRef"); picker != nullptr && picker->is_object()) {
      const std::string_view kind = picker->string_at({"kind"});
      const bool service_kind = kind.empty() || kind == "Service";
      if (service_kind && !has(*picker, {"port"})) {
        (*picker)["port"] = Object{{"number", kPickerPort}};
      }
    }
  }
  if (has(scheduler, {"template"}) && !has(scheduler, {"template", "serviceAccountName"})) {
    scheduler["template"]["serviceAccountName"] = child_name(name_of(service), "-epp-sa");
  }
}

Value parent_ref(const Value& gateway) {
  Object out{{"group", "gateway.networking.k8s.io"}, {"kind", "Gateway"}};
  for (const std::string_view key : {"name", "namespace", "sectionName"}) {
    if (const Value* value = get(gateway, {key})) out.set(key, *value);
  }
  return out;
}

// Names the gateways the user refers to, and sends the pool's share to where it really goes.
void fill_route(Value& service) {
  Value& spec = service["spec"];
  if (!has(spec, {"router", "route", "http", "spec"})) return;
  Value& route = spec["router"]["route"]["http"]["spec"];
  const Value* refs = get(spec, {"router", "gateway", "refs"});
  if (refs != nullptr && refs->is_array() && !refs->if_array()->empty()) {
    Array parents;
    for (const Value& ref : *refs->if_array()) parents.push_back(parent_ref(ref));
    route["parentRefs"] = std::move(parents);
  }
  const bool scheduled = has(spec, {"router", "scheduler"});
  const std::string default_pool = child_name(name_of(service), "-inference-pool");
  const std::string pool = pool_name(service);
  const Value* rules = get(route, {"rules"});
  if (rules == nullptr || !rules->is_array()) return;
  for (Value& rule : *route["rules"].if_array()) {
    Value* backends = rule.find("backendRefs");
    if (backends == nullptr || !backends->is_array()) continue;
    for (Value& backend : *backends->if_array()) {
      const bool ours = backend.string_at({"kind"}) == "InferencePool" &&
                        backend.string_at({"name"}) == default_pool;
      if (!ours) continue;
      if (scheduled) {
        backend["name"] = pool;
        continue;
      }
      backend["group"] = "";
      backend["kind"] = "Service";
      backend["name"] = child_name(name_of(service), "-kserve-workload-svc");
    }
  }
}

std::string pin_key(std::string_view preset) { return fmt::format("serving.kserve.io/{}", preset); }

// The full name of a preset: the one the service was first planned with, else by today's prefix.
std::string full_name(const Value& service, std::string_view preset, const Settings& settings) {
  const std::string_view pinned = service.string_at({"status", "annotations", pin_key(preset)});
  const bool counts = settings.pin_configs && !pinned.empty() && preset != kNeverPinned;
  return counts ? std::string(pinned) : fmt::format("{}{}", settings.config_prefix, preset);
}

std::map<std::string, std::string> missing_pins(const Value& service, const Settings& settings) {
  std::map<std::string, std::string> out;
  for (const std::string_view preset : well_known_configs()) {
    if (!settings.pin_configs || preset == kNeverPinned) continue;
    const std::string key = pin_key(preset);
    if (service.string_at({"status", "annotations", key}).empty()) {
      out.emplace(key, fmt::format("{}{}", settings.config_prefix, preset));
    }
  }
  return out;
}

Result<std::vector<Source>> sources(Value& service, const Lookup& lookup,
                                    const Settings& settings) {
  std::vector<Source> refs;
  const Value* base_refs = get(service, {"spec", "baseRefs"});
  if (base_refs != nullptr && base_refs->is_array()) {
    for (std::size_t i = 0; i < base_refs->if_array()->size(); ++i) {
      const std::string name((*base_refs->if_array())[i].string_at({"name"}));
      BATON_TRY_ASSIGN(Config config, lookup.config(name, fmt::format("/spec/baseRefs/{}", i)));
      refs.push_back({"UserRef", name, std::move(config)});
    }
  }
  Value resolved = *service.find("spec");
  Value from_refs = Object();
  for (const Source& ref : refs) {
    resolved = merge(std::move(resolved), ref.config.spec());
    from_refs = merge(std::move(from_refs), ref.config.spec());
  }
  settle_model_name(service, from_refs);

  std::vector<Source> all;
  // Which plugins it lists decides about presets. What is wrong with a reference is said where it
  // is followed.
  std::optional<std::string> referred;
  if (has(resolved, {"router", "scheduler", "config", "ref"})) {
    if (auto text = lookup.picker_text(resolved)) referred = *std::move(text);
  }
  for (const std::string& preset : presets_for(resolved, given_picker_config(resolved, referred))) {
    const std::string name = full_name(service, preset, settings);
    BATON_TRY_ASSIGN(Config config, lookup.preset(name, preset));
    all.push_back({"Preset", name, std::move(config)});
  }
  std::ranges::move(refs, std::back_inserter(all));
  return all;
}

}  // namespace

std::span<const std::string_view> well_known_configs() {
  static constexpr std::string_view kAll[] = {"config-llm-scheduler",
                                              "config-llm-tokenizer",
                                              "config-llm-scheduler-latency-predictor",
                                              kNeverPinned,
                                              "config-llm-tracing",
                                              "config-llm-prefill-template",
                                              "config-llm-prefill-worker-data-parallel",
                                              "config-llm-prefill-worker-pipeline-parallel",
                                              "config-llm-decode-template",
                                              "config-llm-decode-worker-data-parallel",
                                              "config-llm-decode-worker-pipeline-parallel",
                                              "config-llm-template",
                                              "config-llm-worker-data-parallel",
                                              "config-llm-worker-pipeline-parallel"};
  return kAll;
}

std::vector<std::string> presets_for(const Value& spec, std::string_view picker_config) {
  std::vector<std::string> out;
  const bool split = has(spec, {"prefill"});
  if (has(spec, {"router", "scheduler"}) && !has(spec, {"router", "scheduler", "pool", "ref"})) {
    out.emplace_back("config-llm-scheduler");
    if (wants_tokenizer(spec, picker_config)) out.emplace_back("config-llm-tokenizer");
    if (wants_latency_predictor(picker_config)) {
      out.emplace_back("config-llm-scheduler-latency-predictor");
    }
  }
  const Value* route_refs = get(spec, {"router", "route", "http", "refs"});
  const bool own_routes =
      route_refs != nullptr && route_refs->is_array() && !route_refs->if_array()->empty();
  if (has(spec, {"router", "route"}) && !own_routes) out.emplace_back("config-llm-router-route");
  if (has(spec, {"tracing"})) out.emplace_back("config-llm-tracing");
  if (split) {
    const Value& prefill = *spec.find("prefill");
    out.push_back(has(prefill, {"worker"}) ? worker_preset(prefill, "prefill-")
                                           : "config-llm-prefill-template");
  }
  const std::string_view kind = split ? "decode-" : "";
  out.push_back(has(spec, {"worker"}) ? worker_preset(spec, kind)
                                      : fmt::format("config-llm-{}template", kind));
  std::erase(out, "");
  return out;
}

Result<Combined> combine(Value service, const ServiceView& observed, Stage& stage) {
  stage = Stage::kFindConfigs;
  const Lookup lookup(observed, namespace_of(service));
  BATON_TRY_ASSIGN(const std::vector<Source> all, sources(service, lookup, observed.settings));
  stage = Stage::kCombine;
  Combined out;
  out.pins = missing_pins(service, observed.settings);
  Value spec = Object();
  for (const Source& source : all) {
    spec = merge(std::move(spec), source.config.spec());
    out.applied.push_back(fmt::format("{}:{}/{}", source.origin, source.config.ns, source.name));
    for (const api::Finding& warning : source.config.warnings) {
      out.warnings.push_back(
          {"", fmt::format("LLMInferenceServiceConfig {}/{}: {}: {}", source.config.ns, source.name,
                           warning.pointer, warning.message)});
    }
  }
  service["spec"] = merge(std::move(spec), *service.find("spec"));
  api::set_defaults(service);
  fill_scheduler(service);
  BATON_TRY(render(service, observed.settings));
  BATON_TRY(lora_adapters(*service.find("spec")));
  fill_route(service);
  if (get(service, {"spec", "router", "scheduler", "config", "ref"}) != nullptr) {
    BATON_TRY_ASSIGN(out.picker_text, lookup.picker_text(*service.find("spec")));
    // The merged service says what is in force. A text that is no mapping is the picker's to
    // refuse.
    auto inlined = text::yaml::parse(*out.picker_text, "scheduler configuration");
    if (inlined && inlined->is_object()) {
      service["spec"]["router"]["scheduler"]["config"] = Object{{"inline", *std::move(inlined)}};
    }
  }
  out.service = std::move(service);
  return out;
}

}  // namespace baton::plan
