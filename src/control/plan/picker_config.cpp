#include "control/plan/picker_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text/yaml.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/picker_document.hpp"
#include "control/plan/picker_flags.hpp"
#include "control/plan/picker_migrations.hpp"
#include "control/plan/presets.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kLeaderElection = "ha-enable-leader-election";
constexpr std::string_view kLoraScorer = "lora-affinity-scorer";
constexpr std::string_view kFilters[] = {"prefill-filter", "decode-filter"};

const Value& scheduler_of(const Build& build) {
  return *build.spec().find_path({"router", "scheduler"});
}

bool has_adapters(const Build& build) {
  return !items(get(build.spec(), {"model", "lora", "adapters"})).empty();
}

// First among the scorers: behind the filters of a profile.
std::string with_lora_affinity(std::string_view text) {
  Value config = *text::yaml::parse(text, "default configuration");  // ours: a test reads each
  config["plugins"].push_back(Object{{"type", kLoraScorer}});
  for (Value& profile : items(config.find("schedulingProfiles"))) {
    Array& refs = *profile["plugins"].if_array();
    const auto at = std::ranges::find_if(refs, [](const Value& ref) {
      return std::ranges::find(kFilters, ref.string_at({"pluginRef"})) == std::end(kFilters);
    });
    refs.insert(at, Object{{"pluginRef", kLoraScorer}, {"weight", 4}});
  }
  return text::yaml::dump(config);
}

std::string default_text(Settings::PickerDefault generation, bool split, bool lora) {
  const bool seed = generation == Settings::PickerDefault::kSeed;
  const std::string_view text =
      picker_text(fmt::format("{}-{}.yaml", seed ? "seed" : "current", split ? "pd" : "single"));
  return lora && !seed ? with_lora_affinity(text) : std::string(text);
}

// Whether the text is one that was generated, for any shape or by an upstream controller, as it was
// written or migrated since: nobody's wish.
bool is_a_default(std::string_view text, Version version, std::string_view tokenizer_url) {
  auto parsed = text::yaml::parse(text, "live configuration");
  if (!parsed || !parsed->is_object()) return false;
  if (!migrate_config(*parsed, version, tokenizer_url)) return false;
  Array* plugins =
      PickerDocument(*parsed).plugins().empty() ? nullptr : (*parsed)["plugins"].if_array();
  if (plugins == nullptr) return false;
  // The scheme of metrics comes from a flag, not from a wish.
  std::erase_if(*plugins, [](const Value& plugin) {
    return plugin.string_at({"type"}) == "metrics-data-source";
  });
  using enum Settings::PickerDefault;
  for (const auto generation : {kSeed, kCurrent}) {
    for (const bool split : {false, true}) {
      for (const bool lora : {false, true}) {
        auto known = text::yaml::parse(default_text(generation, split, lora), "default");
        if (!known || !migrate_config(*known, version, tokenizer_url)) continue;
        if (*known == *parsed) return true;
      }
    }
  }
  return false;
}

// The flag and its value of the live picker, when they are somebody's own.
ConfigFlag kept_config(Build& build, Version version, std::string_view tokenizer_url) {
  const std::string name = build.child("-kserve-router-scheduler");
  const Value* live = build.live("Deployment", name);
  if (live == nullptr) return {};
  const std::string_view origin = live->string_at({"metadata", "annotations", kConfigOrigin});
  if (!origin.empty() && origin != kKept) return {};
  const Value* main = named(live->find_path({"spec", "template", "spec", "containers"}), "main");
  if (main == nullptr) return {};
  ConfigFlag flag = config_flag(*main);
  if (flag.source == ConfigSource::kNone) return {};
  if (flag.source == ConfigSource::kText && is_a_default(flag.value, version, tokenizer_url)) {
    return {};
  }
  build.warn(
      "/spec/router/scheduler/config",
      fmt::format("Deployment {} runs with a configuration of its own, which is kept; say it "
                  "in config.inline",
                  name));
  return flag;
}

}  // namespace

std::string given_picker_config(const Value& spec, const std::optional<std::string>& picker_text) {
  if (picker_text) return *picker_text;
  const Value* scheduler = get(spec, {"router", "scheduler"});
  if (scheduler == nullptr) return "";
  if (const Value* given = get(*scheduler, {"config", "inline"})) return text::yaml::dump(*given);
  const Value* main = named(get(*scheduler, {"template", "containers"}), "main");
  if (main == nullptr) return "";
  ConfigFlag flag = config_flag(*main);
  return flag.source == ConfigSource::kText ? std::move(flag.value) : "";
}

std::string default_picker_config(const Build& build) {
  return default_text(build.settings().picker_default, build.split() == Split::kYes,
                      has_adapters(build));
}

std::string_view add_picker_arguments(Build& build, Version version, std::string_view tokenizer_url,
                                      Value& main) {
  Array args;
  for (const Value& word : items(std::as_const(main).find("args"))) args.push_back(word);
  const Value* replicas = get(scheduler_of(build), {"replicas"});
  if (replicas != nullptr && replicas->if_int().value_or(1) > 1 &&
      !has_flag(main, kLeaderElection)) {
    args.emplace_back(fmt::format("--{}", kLeaderElection));
  }
  std::string_view origin = kFromService;
  const auto add = [&](std::string_view flag, std::string text) {
    args.emplace_back(flag);
    args.emplace_back(std::move(text));
  };
  if (build.picker_text || get(scheduler_of(build), {"config", "inline"}) != nullptr) {
    add("--config-text", given_picker_config(build.spec(), build.picker_text));
  } else if (config_flag(main).source == ConfigSource::kNone) {
    ConfigFlag kept = kept_config(build, version, tokenizer_url);
    origin = kKept;
    if (kept.source == ConfigSource::kNone) {
      origin = kGenerated;
      kept = {ConfigSource::kText, "--config-text", default_picker_config(build)};
    }
    add(kept.flag, std::move(kept.value));
  }
  main["args"] = std::move(args);
  return origin;
}

bool asks_for_tokens(std::string_view picker_config) {
  return has_plugin(picker_config, "token-producer") ||
         has_plugin(picker_config, "precise-prefix-cache-scorer");
}

bool wants_tokenizer(const Value& spec, std::string_view picker_config) {
  return get(spec, {"router", "scheduler", "tokenizer"}) != nullptr ||
         asks_for_tokens(picker_config);
}

bool wants_latency_predictor(std::string_view picker_config) {
  return has_plugin(picker_config, "predicted-latency-producer");
}

}  // namespace baton::plan
