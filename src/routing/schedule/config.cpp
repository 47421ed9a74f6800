#include "routing/schedule/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "base/core/log.hpp"
#include "base/core/nearest.hpp"
#include "base/text/yaml.hpp"
#include "routing/schedule/fields.hpp"
#include "routing/schedule/plugin.hpp"

namespace baton::schedule {
namespace {

constexpr std::string_view kCurrentVersion = "llm-d.ai/v1alpha1";
constexpr std::string_view kOldVersion = "inference.networking.x-k8s.io/v1alpha1";
constexpr std::string_view kKind = "EndpointPickerConfig";

void check_header(Fields& root, std::string_view source) {
  const auto version = root.text("apiVersion", "");
  const auto kind = root.text("kind", "");
  if (version != kCurrentVersion && version != kOldVersion) {
    root.fail("apiVersion",
              fmt::format("expected {} or {}, found '{}'", kCurrentVersion, kOldVersion, version));
  }
  if (kind != kKind) root.fail("kind", fmt::format("expected {}, found '{}'", kKind, kind));
  if (version == kOldVersion) {
    log::debug("the picker configuration uses the deprecated api version",
               {{"source", source}, {"use", kCurrentVersion}});
  }
}

constexpr std::string_view kFileDiscovery = "file-discovery";
using Discoveries = std::map<std::string, FileDiscovery, std::less<>>;  // by plugin name

bool flag(Fields& fields, std::string_view key, bool otherwise) {
  const auto* value = fields.any(key);
  if (value == nullptr) return otherwise;
  if (value->if_bool() == nullptr) fields.fail(key, "expected true or false");
  return value->if_bool() == nullptr ? otherwise : *value->if_bool();
}

Result<FileDiscovery> read_discovery(const PluginSpec& plugin) {
  Fields fields(plugin.parameters, plugin.pointer);
  FileDiscovery out;
  out.path = fields.text("path", "");
  out.watch = flag(fields, "watchFile", false);
  if (out.path.empty()) fields.fail("path", "the endpoint file is missing");
  BATON_TRY(fields.finish());
  return out;
}

Status read_plugins(Fields& root, PickerConfig& config, Discoveries& discoveries) {
  const auto& items = root.array("plugins");
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto at = text::json::pointer("/plugins", i);
    Fields fields(items[i], at);
    PluginSpec plugin;
    plugin.type = fields.text("type", "");
    plugin.name = fields.text("name", plugin.type);
    if (const auto* parameters = fields.any("parameters")) plugin.parameters = *parameters;
    plugin.pointer = at + "/parameters";
    if (plugin.type.empty()) {
      fields.fail("type", "a plugin needs a type");
    } else if (plugin.type == kFileDiscovery) {
      BATON_TRY(fields.finish());
      BATON_TRY_ASSIGN(auto discovery, read_discovery(plugin));
      if (!discoveries.emplace(plugin.name, std::move(discovery)).second) {
        return invalid(fmt::format("{}/name: the name '{}' is used twice", at, plugin.name));
      }
      continue;
    } else if (const auto known = check_plugin_type(plugin.type); !known) {
      fields.fail("type", known.error().message());
    }
    const bool taken = std::ranges::any_of(
        config.plugins, [&](const PluginSpec& other) { return other.name == plugin.name; });
    if (taken) fields.fail("name", fmt::format("the name '{}' is used twice", plugin.name));
    BATON_TRY(fields.finish());
    config.plugins.push_back(std::move(plugin));
  }
  return {};
}

Status read_refs(Fields& profile, const PickerConfig& config, ProfileSpec& out) {
  std::vector<std::string_view> names;
  for (const auto& plugin : config.plugins) names.push_back(plugin.name);
  const auto& items = profile.array("plugins");
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields fields(items[i], text::json::pointer(profile.pointer() + "/plugins", i));
    ProfileSpec::Ref ref;
    ref.plugin = fields.text("pluginRef", "");
    ref.weight = fields.number("weight", 1);
    ref.pointer = fields.pointer();
    if (!std::isfinite(ref.weight)) fields.fail("weight", "expected a finite number");
    if (ref.plugin.empty()) {
      fields.fail("pluginRef", "a plugin reference is missing");
    } else if (std::ranges::find(names, ref.plugin) == names.end()) {
      fields.fail("pluginRef", fmt::format("no plugin is named '{}'{}", ref.plugin,
                                           did_you_mean(ref.plugin, names)));
    }
    BATON_TRY(fields.finish());
    out.plugins.push_back(std::move(ref));
  }
  return {};
}

Status read_profiles(Fields& root, PickerConfig& config) {
  const auto& items = root.array("schedulingProfiles");
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields fields(items[i], text::json::pointer("/schedulingProfiles", i));
    ProfileSpec profile;
    profile.name = fields.text("name", "");
    if (profile.name.empty()) fields.fail("name", "a profile needs a name");
    const bool taken = std::ranges::any_of(
        config.profiles, [&](const ProfileSpec& other) { return other.name == profile.name; });
    if (taken) fields.fail("name", fmt::format("the profile '{}' is there twice", profile.name));
    BATON_TRY(read_refs(fields, config, profile));
    BATON_TRY(fields.finish());
    config.profiles.push_back(std::move(profile));
  }
  return {};
}

// Gates that are at their default change nothing and are accepted.
void read_gates(Fields& root) {
  for (const auto& item : root.array("featureGates")) {
    const auto* gate = item.if_string();
    if (gate == nullptr) {
      root.fail("featureGates", "expected a list of strings");
    } else if (*gate == "flowControl" || *gate == "flowControl=true") {
      root.fail("featureGates", "flow control is not offered yet; remove the gate");
    } else if (*gate != "flowControl=false" && *gate != "haPopulateNonLeaderDatastore" &&
               *gate != "haPopulateNonLeaderDatastore=true") {
      constexpr std::array<std::string_view, 2> kGates = {"flowControl",
                                                          "haPopulateNonLeaderDatastore"};
      root.fail("featureGates",
                fmt::format("unknown gate '{}'{}", *gate, did_you_mean(*gate, kGates)));
    }
  }
}

Status read_data_layer(Fields& root, const Discoveries& discoveries, PickerConfig& config) {
  const auto* section = root.any("dataLayer");
  if (section != nullptr) {
    Fields fields(*section, "/dataLayer");
    if (!flag(fields, "injectDefaults", true)) {
      fields.fail("injectDefaults", "the engines' metrics are always read");
    }
    for (const std::string_view key :
         {"sources", "peerDiscovery", "crossReplicaSyncerPluginRef", "crossReplicaSyncInterval"}) {
      fields.later(key, "data sources other than the engines' metrics are not offered yet");
    }
    const auto* discovery = fields.any("discovery");
    BATON_TRY(fields.finish());
    if (discovery != nullptr) {
      Fields ref(*discovery, "/dataLayer/discovery");
      const auto name = ref.text("pluginRef", "");
      const auto found = discoveries.find(name);
      if (found == discoveries.end()) {
        ref.fail("pluginRef", fmt::format("no {} plugin is named '{}'", kFileDiscovery, name));
      }
      BATON_TRY(ref.finish());
      config.discovery = found->second;
    }
  }
  if (!config.discovery && !discoveries.empty()) {
    log::warn("a file-discovery plugin has no effect without dataLayer.discovery",
              {{"plugin", discoveries.begin()->first}});
  }
  return {};
}

Result<PickerConfig> read(const text::json::Value& document, std::string_view source) {
  PickerConfig config;
  Fields root(document, "");
  check_header(root, source);
  read_gates(root);
  Discoveries discoveries;
  BATON_TRY(read_plugins(root, config, discoveries));
  BATON_TRY(read_profiles(root, config));
  BATON_TRY(read_data_layer(root, discoveries, config));
  root.later("flowControl", "flow control is not offered yet");
  root.later("requestHandler", "parsers other than the OpenAI ones are not offered yet");
  root.later("saturationDetector", "flow control is not offered yet");
  root.later("parser", "parsers other than the OpenAI ones are not offered yet");
  BATON_TRY(root.finish());
  return config;
}

}  // namespace

Result<PickerConfig> load_picker_config(std::string_view text, std::string_view source) {
  BATON_TRY_ASSIGN(const auto document, text::yaml::parse(text, source));
  return read(document, source).with(source);
}

PickerConfig default_picker_config() {
  PickerConfig config;
  config.profiles.push_back({.name = "default", .plugins = {}});
  const auto add = [&](std::string_view type, double weight) {
    config.plugins.push_back(
        {.name = std::string(type), .type = std::string(type), .parameters = {}, .pointer = ""});
    config.profiles[0].plugins.push_back(
        {.plugin = std::string(type), .weight = weight, .pointer = ""});
  };
  add("decode-filter", 1);
  add("queue-scorer", 2);
  add("kv-cache-utilization-scorer", 2);
  add("prefix-cache-scorer", 3);
  return config;
}

}  // namespace baton::schedule
