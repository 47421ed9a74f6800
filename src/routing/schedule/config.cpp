#include "routing/schedule/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/core/nearest.hpp"
#include "base/text/yaml.hpp"
#include "routing/schedule/fields.hpp"
#include "routing/schedule/plugin.hpp"
#include "routing/schedule/sections.hpp"

namespace baton::schedule {
namespace {

constexpr std::string_view kCurrentVersion = "llm-d.ai/v1alpha1";
constexpr std::string_view kOldVersion = "inference.networking.x-k8s.io/v1alpha1";
constexpr std::string_view kKind = "EndpointPickerConfig";

void check_header(Fields& root, PickerConfig& config) {
  const auto version = root.text("apiVersion", "");
  const auto kind = root.text("kind", "");
  if (version != kCurrentVersion && version != kOldVersion) {
    root.fail("apiVersion",
              fmt::format("expected {} or {}, found '{}'", kCurrentVersion, kOldVersion, version));
  }
  if (kind != kKind) root.fail("kind", fmt::format("expected {}, found '{}'", kKind, kind));
  if (version == kOldVersion) {
    config.warnings.push_back(
        fmt::format("/apiVersion: {} is deprecated, use {}", kOldVersion, kCurrentVersion));
  }
}

Status read_plugins(Fields& root, PickerConfig& config) {
  const auto& items = root.array("plugins");
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto at = text::json::pointer("/plugins", i);
    Fields fields(items[i], at, &config.settings);
    PluginSpec plugin;
    plugin.type = fields.text("type", "");
    plugin.name = fields.text("name", plugin.type);
    if (const auto* parameters = fields.any("parameters")) plugin.parameters = *parameters;
    plugin.pointer = at + "/parameters";
    if (plugin.type.empty()) {
      fields.fail("type", "a plugin needs a type");
    } else if (const auto known = check_plugin_type(plugin.type); !known) {
      if (known.error().code() == Code::kUnsupported) fields.later("type", known.error().message());
      fields.fail("type", known.error().message());
    } else if (const auto current = current_type(plugin.type); current != plugin.type) {
      config.warnings.push_back(
          fmt::format("{}/type: {} is deprecated, use {}", at, plugin.type, current));
    } else if (is_experimental(plugin.type)) {
      config.experimental.push_back(fmt::format("{}/type: {}", at, plugin.type));
    }
    const bool taken = std::ranges::any_of(
        config.plugins, [&](const PluginSpec& other) { return other.name == plugin.name; });
    if (taken) fields.fail("name", fmt::format("the name '{}' is used twice", plugin.name));
    BATON_TRY(fields.finish());
    config.plugins.push_back(std::move(plugin));
  }
  return {};
}

Status read_refs(Fields& profile, PickerConfig& config, ProfileSpec& out) {
  std::vector<std::string_view> names;
  for (const auto& plugin : config.plugins) names.push_back(plugin.name);
  const auto& items = profile.array("plugins");
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields fields(items[i], text::json::pointer(profile.pointer() + "/plugins", i),
                  &config.settings);
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
    Fields fields(items[i], text::json::pointer("/schedulingProfiles", i), &config.settings);
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

Result<PickerConfig> read(const text::json::Value& document) {
  PickerConfig config;
  Fields root(document, "", &config.settings);
  check_header(root, config);
  detail::read_gates(root, config);
  BATON_TRY(read_plugins(root, config));
  BATON_TRY(read_profiles(root, config));
  detail::read_data_layer(root, config);
  detail::read_flow_control(root, config);
  detail::read_parsers(root, config);
  BATON_TRY(root.finish());
  return config;
}

}  // namespace

Result<PickerConfig> load_picker_config(std::string_view text, std::string_view source) {
  BATON_TRY_ASSIGN(const auto document, text::yaml::parse(text, source));
  return read(document).with(source);
}

Status refuse_experimental(const PickerConfig& config) {
  if (config.experimental.empty()) return {};
  return unsupported(fmt::format(
      "{} is experimental: it may change or go; --allow-experimental-plugins takes it all the same",
      config.experimental.front()));
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
