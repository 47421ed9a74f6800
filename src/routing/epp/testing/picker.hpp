#pragma once
// A whole picker without its ports, for tests.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "routing/epp/desk.hpp"
#include "routing/epp/gate.hpp"
#include "routing/pick/testing/seed.hpp"

namespace baton::epp::testing {

inline constexpr std::string_view kDefault = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}, {type: prefix-cache-scorer}]
schedulingProfiles:
- {name: default, plugins: [{pluginRef: queue-scorer, weight: 2}, {pluginRef: kv-cache-utilization-scorer, weight: 2}, {pluginRef: prefix-cache-scorer, weight: 3}]}
)";
struct Pod {
  std::string name, host;
  float queue = 0, kv = 0;
  std::string role = {};
};

struct Picker {
  Picker(const Clock& c, observe::Registry& registry, std::string_view picker,
         Desk::Config config = {}, observe::Tracer* tracer = nullptr)
      : clock(c),
        pool(pick::testing::service(picker)),
        metrics(registry, pool.broken() ? Metrics::Plugins{} : Metrics::plugins_of(pool.setup())),
        gate(pool, clock, registry, "pool"),
        recorder(registry, 8),
        desk({pool, metrics, clock, rules, gate, recorder, tracer}, config, 1) {}

  // Every pod has just told how busy it is.
  void serve(const std::vector<Pod>& pods) {
    std::vector<schedule::Endpoint> endpoints;
    for (const auto& pod : pods) {
      endpoints.push_back(pick::testing::endpoint(pod.name, pod.role, pod.host, 8000));
    }
    pool.update(endpoints);
    load(pods);
  }
  void load(const std::vector<Pod>& pods) {
    const auto snapshot = pool.snapshot();
    for (std::size_t i = 0; i < pods.size(); ++i) {
      watch::Scraped scraped;
      scraped.waiting = pods[i].queue;
      scraped.running = 0;
      scraped.kv_usage = pods[i].kv;
      pool.loaded((*snapshot.endpoints)[i], scraped, clock.now());
    }
  }

  const Clock& clock;
  SharedPool pool;
  Metrics metrics;
  Rules rules{{.name = "pool"}};
  Gate gate;
  Recorder recorder;
  Desk desk;
};

}  // namespace baton::epp::testing
