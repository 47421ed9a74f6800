#pragma once
// What a configuration comes to beside scheduling: for whoever serves requests, finds endpoints and
// asks engines. Whoever cannot do what is set here refuses the configuration.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "routing/schedule/config.hpp"
#include "routing/schedule/laps.hpp"
#include "routing/schedule/plugin.hpp"

namespace baton::schedule {

struct Band {
  std::int32_t priority = 0;
  std::int64_t max_bytes = 0, max_requests = 0;
  Fairness fairness;
  Ordering ordering = Ordering::kFcfs;
};

struct FlowConfig {
  std::int64_t max_bytes = 0, max_requests = 0;      // of all bands together; 0: unlimited
  Nanos ttl = Nanos(0), no_endpoint_ttl = Nanos(0);  // 0: unlimited
  Band otherwise, otherwise_negative;                // templates; their priority says nothing
  std::vector<Band> bands;                           // by falling priority; has priority 0
  UsageLimit usage_limit;                            // from when on bands wait
  bool evicts = false;  // running requests of priority below 0, for better ones that wait
};

// Who makes data for others, listed or created: for the labels of metrics.
struct Producer {
  Data data = Data::kPrefixMatch;
  std::string name, type;
  std::size_t view = 0;  // of matches: into Setup::views
};

// Whose matches a plugin reads: of one index of prompts, and above it what engines tell.
struct MatchView {
  std::size_t index = 0;  // into Setup::indexes
  bool precise = false;   // the index stands in for engines that are not in sync
  friend bool operator==(const MatchView&, const MatchView&) = default;
};

struct Setup {
  std::string handler_name, handler_type;  // of the profile handler
  std::vector<Producer> producers;
  // How prompts are hashed and remembered, all in blocks of one size; empty: nobody asks.
  std::vector<PrefixParameters> indexes;
  // Of Request: the first is for who names no producer. At most kMaxPrefixViews.
  std::vector<MatchView> views;
  std::size_t load_view = 0;       // by which tokens in flight are counted
  std::size_t latency_view = 0;    // of what the predictor is told
  std::vector<TimedPlugin> timed;  // what Decision::laps count by
  std::vector<Parser> parsers;
  std::optional<FileDiscovery> discovery;  // absent: Kubernetes
  bool scrapes = true;                     // engines' metrics are fetched
  MetricsSource metrics;
  MetricsExtractor extractor;
  Detector detector;
  std::optional<FlowConfig> flow;  // the feature gate is on
  std::vector<ProbabilisticAdmitter> admitters;
  bool slo_admitter = false;                 // the latency admitter is there
  std::optional<LatencyParameters> latency;  // it is predicted, or learnt
  std::vector<UsageReport> reports;          // at the end of an answer
  bool verifies_served = false;              // the proxy's word on who served goes to the client
  std::optional<PreciseParameters> precise;  // engines' KV events are followed
  std::optional<MediaCache> media;           // what is not text is compared, too
  std::optional<MetricsSource> models;       // engines are asked for their models
  std::optional<OutputEstimate> output;      // tokens to come count as in flight, too
  bool encodes = false;                      // decisions may have an encode stage
  bool data_parallel = false;                // decisions may have a primary port
  bool reads_headers = false;                // decisions depend on requests' headers
  std::size_t candidates = 1;                // that decisions may list for a stage
  std::vector<SessionSource> agents;         // who asks, where no fairness id is given

  std::vector<std::string> warnings;  // one line each, with the JSON pointer
  std::vector<Setting> effective;     // every value, in the order it was read
};

// `plugins[i]` was made from `config.plugins[i]`. kInvalid: a reference to nothing, or to a plugin
// of the wrong kind.
Result<Setup> make_setup(const PickerConfig& config, const std::vector<Plugin>& plugins);

// The effective configuration for people: a line for each value with its origin, then the settings
// without effect, then warnings.
std::string describe(const Setup& setup);

}  // namespace baton::schedule
