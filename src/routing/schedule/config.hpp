#pragma once
// EndpointPickerConfig as written: plugins and profiles, references checked, parameters not yet
// read (the plugins read their own). Picker reference 3.1 to 3.4.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::schedule {

struct PluginSpec {
  std::string name, type;
  text::json::Value parameters;  // null when absent
  std::string pointer;           // of the parameters
};

struct ProfileSpec {
  struct Ref {
    std::string plugin;
    double weight = 1;
    std::string pointer;
  };
  std::string name;
  std::vector<Ref> plugins;
};

// Endpoints from a file instead of the cluster (picker reference 5.2).
struct FileDiscovery {
  std::string path;
  bool watch = false;  // read again when it changes
};

struct PickerConfig {
  std::vector<PluginSpec> plugins;
  std::vector<ProfileSpec> profiles;       // empty: to be defaulted
  std::optional<FileDiscovery> discovery;  // dataLayer.discovery
};

// YAML or JSON. kInvalid: "<source>: <json pointer>: what". kUnsupported: a section that Baton does
// not offer yet.
Result<PickerConfig> load_picker_config(std::string_view text, std::string_view source);

// For a service without configuration of its own: least loaded first, then by prefix; never a pod
// that only prefills.
PickerConfig default_picker_config();

}  // namespace baton::schedule
