#pragma once
// EndpointPickerConfig as written: plugins, profiles and sections, references checked, parameters
// not yet read (the plugins read their own). Picker reference 3.1 to 3.4.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "routing/schedule/fields.hpp"

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

// A plugin by name, and where it is named; empty: not said.
struct PluginRef {
  std::string plugin, pointer;
  bool empty() const { return plugin.empty(); }
};

// A queue band, or the template of those that are not listed.
struct BandSpec {
  std::int32_t priority = 0;
  std::int64_t max_bytes = 1'000'000'000;
  std::int64_t max_requests = 5000;
  PluginRef fairness, ordering;
};

struct FlowSpec {
  std::int64_t max_bytes = 0, max_requests = 0;      // of all bands together; 0: unlimited
  Nanos ttl = std::chrono::seconds(60);              // in the queue; 0: unlimited
  Nanos no_endpoint_ttl = std::chrono::seconds(60);  // while there is no endpoint
  std::optional<BandSpec> otherwise, otherwise_negative;
  std::vector<BandSpec> bands;
  PluginRef usage_limit;
  bool evicts = false;  // running requests
};

// Endpoints from a file instead of the cluster (picker reference 5.2).
struct FileDiscovery {
  std::string path;
  bool watch = false;  // read again when it changes
};

struct PickerConfig {
  std::vector<PluginSpec> plugins;
  std::vector<ProfileSpec> profiles;  // empty: to be defaulted

  bool flow_control = false;     // feature gates
  std::optional<FlowSpec> flow;  // the section, whatever the gate says
  PluginRef detector;
  std::vector<PluginRef> parsers;  // empty: to be defaulted
  bool inject_defaults = true;     // of the data layer
  struct Source {
    PluginRef source;
    std::vector<PluginRef> extractors;
  };
  std::vector<Source> sources;
  std::optional<FileDiscovery> discovery;  // dataLayer.discovery

  std::vector<Setting> settings = {};          // as read, plugins' parameters apart
  std::vector<std::string> warnings = {};      // deprecated spellings
  std::vector<std::string> experimental = {};  // plugins of level A: "<json pointer>: type"
};

// YAML or JSON. kInvalid: "<source>: <json pointer>: what". kUnsupported: a section or plugin that
// Baton does not offer.
Result<PickerConfig> load_picker_config(std::string_view text, std::string_view source);

// kUnsupported: it lists a plugin of level A, which --allow-experimental-plugins lets in.
Status refuse_experimental(const PickerConfig& config);

// For a service without configuration of its own: least loaded first, then by prefix; never a pod
// that only prefills.
PickerConfig default_picker_config();

}  // namespace baton::schedule
