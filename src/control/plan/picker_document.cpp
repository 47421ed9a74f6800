#include "control/plan/picker_document.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text/yaml.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

void drop_repeated(Array& refs) {
  std::vector<std::string> seen;
  std::erase_if(refs, [&](const Value& ref) {
    const std::string_view name = ref.string_at({"pluginRef"});
    if (name.empty()) return false;
    if (std::ranges::find(seen, name) != seen.end()) return true;
    seen.emplace_back(name);
    return false;
  });
}

// Depth is that of the parser.
void rename_in(Value& node, std::string_view from, std::string_view to) {
  if (Object* members = node.if_object()) {
    for (auto& [key, member] : *members) {
      if (key == "pluginRef" && member.is_string()) {
        if (*member.if_string() == from) member = to;
      } else {
        rename_in(member, from, to);
      }
    }
  }
  if (Array* list = node.if_array()) {
    bool renamed = false;
    for (Value& item : *list) {
      renamed = renamed || item.string_at({"pluginRef"}) == from;
      rename_in(item, from, to);
    }
    if (renamed) drop_repeated(*list);
  }
}

}  // namespace

Array& PickerDocument::plugins() {
  Value& list = config_["plugins"];
  if (!list.is_array()) list = Array();
  return *list.if_array();
}

Value* PickerDocument::of_type(std::string_view type) {
  for (Value& plugin : plugins()) {
    if (plugin.string_at({"type"}) == type) return &plugin;
  }
  return nullptr;
}

Value* PickerDocument::of_name(std::string_view name) {
  for (Value& plugin : plugins()) {
    if (PickerDocument::name(plugin) == name) return &plugin;
  }
  return nullptr;
}

std::string_view PickerDocument::name(const Value& plugin) {
  const std::string_view own = plugin.string_at({"name"});
  return own.empty() ? plugin.string_at({"type"}) : own;
}

Value& PickerDocument::parameters(Value& plugin) {
  Value& out = plugin["parameters"];
  if (!out.is_object()) out = Object();
  return out;
}

void PickerDocument::rename_type(std::string_view from, std::string_view to) {
  bool unnamed = false;
  bool taken = false;
  for (Value& plugin : plugins()) {
    taken = taken || plugin.string_at({"name"}) == from;
    if (plugin.string_at({"type"}) != from) continue;
    plugin["type"] = to;
    unnamed = unnamed || plugin.string_at({"name"}).empty();
  }
  if (unnamed && !taken) rename_references(from, to);
}

void PickerDocument::rename_references(std::string_view from, std::string_view to) {
  Object* members = config_.if_object();
  if (members == nullptr) return;
  for (auto& [key, member] : *members) {
    if (key != "plugins") rename_in(member, from, to);
  }
}

bool has_plugin(std::string_view config_text, std::string_view type) {
  // The type stands in the text of any configuration that has it: most need no parsing.
  if (!config_text.contains(type)) return false;
  const auto parsed = text::yaml::parse(config_text, "picker configuration");
  if (!parsed) return false;
  return std::ranges::any_of(items(parsed->find("plugins")), [&](const Value& plugin) {
    return plugin.string_at({"type"}) == type;
  });
}

}  // namespace baton::plan
