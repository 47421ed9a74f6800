#pragma once
// Under which names an engine tells how busy it is (picker reference 5.3): the built-in engines,
// and what a configuration says of others.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "routing/schedule/fields.hpp"

namespace baton::schedule {

// A family, and labels that its sample must have; other labels do not matter.
struct MetricSpec {
  std::string family = {};  // "": the metric is not there
  std::vector<std::pair<std::string, std::string>> labels = {};

  bool empty() const { return family.empty(); }
  friend bool operator==(const MetricSpec&, const MetricSpec&) = default;
};
// `name` or `name{label=value,…}`; quotes and spaces as one likes. kInvalid: neither.
Result<MetricSpec> parse_metric_spec(std::string_view text);

// A metric that is known by a name of the configuration's.
struct CustomMetric {
  std::string attribute;
  MetricSpec spec;
  friend bool operator==(const CustomMetric&, const CustomMetric&) = default;
};

struct EngineMetrics {
  std::string name;  // the value of the engine's label
  MetricSpec waiting = {}, running = {}, kv_usage = {};
  MetricSpec adapters = {};
  // The size and number of KV blocks: labels of one sample, or values of two.
  MetricSpec cache_info = {};
  std::string block_size_label = {}, blocks_label = {};
  MetricSpec block_size = {}, blocks = {};
  std::vector<CustomMetric> custom = {};
  // What the families have in common at their beginning: other samples need no look.
  std::string prefix = {};

  friend bool operator==(const EngineMetrics&, const EngineMetrics&) = default;
};

// vllm, sglang, trtllm-serve, triton-tensorrt-llm, triton.
std::span<const EngineMetrics> built_in_engines();

// Those of an extractor's `engineConfigs` (an array, or null), then the built-in ones that it does
// not replace. kInvalid: a field, a spec or a name is wrong, with its pointer. `settings`, when
// there, gets every value read.
Result<std::vector<EngineMetrics>> engines_of(const text::json::Value& configs,
                                              std::string_view pointer,
                                              std::vector<Setting>* settings = nullptr);

}  // namespace baton::schedule
