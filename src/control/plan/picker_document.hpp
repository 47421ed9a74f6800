#pragma once
// What a picker configuration (EndpointPickerConfig, any generation) lists: plugins with types and
// names, and references to them.

#include <string>
#include <string_view>

#include "base/text/json.hpp"

namespace baton::plan {

using text::json::Value;

class PickerDocument {
 public:
  // `config` outlives this and is an object.
  explicit PickerDocument(Value& config) : config_(config) {}

  // The plugins; an empty list when there are none.
  text::json::Array& plugins();
  Value* of_type(std::string_view type);
  Value* of_name(std::string_view name);
  // What references call a plugin: its name, else its type.
  static std::string_view name(const Value& plugin);
  // Its parameters, made when absent.
  static Value& parameters(Value& plugin);

  // References follow, unless a plugin has the old type as its own name.
  void rename_type(std::string_view from, std::string_view to);
  // Everything outside the plugin list that refers to `from`; a profile that then names a plugin
  // twice keeps the first mention.
  void rename_references(std::string_view from, std::string_view to);

 private:
  Value& config_;
};

// Whether the text, read as a picker configuration, has a plugin of the type. False for no YAML.
bool has_plugin(std::string_view config_text, std::string_view type);

}  // namespace baton::plan
