#pragma once
// Snapshots for tests.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "routing/schedule/snapshot.hpp"

namespace baton::schedule::testing {

struct Pod {
  std::string name;
  std::string role = "";
  Load load = {};
  std::map<std::string, std::string> labels = {};
};

inline Load load(float waiting, float running, float kv_usage, Mono updated) {
  return {.waiting = waiting, .running = running, .kv_usage = kv_usage, .updated = updated};
}

inline Snapshot snapshot(const std::vector<Pod>& pods) {
  auto endpoints = std::make_shared<std::vector<Endpoint>>();
  Snapshot made;
  for (const auto& pod : pods) {
    Endpoint e;
    e.ns = "llm";
    e.name = pod.name;
    e.host = "127.0.0.1";
    e.labels = pod.labels;
    e.slot = static_cast<Slot>(endpoints->size());
    if (!pod.role.empty()) e.labels.emplace(kRoleLabel, pod.role);
    endpoints->push_back(std::move(e));
    made.loads.push_back(pod.load);
  }
  made.set_endpoints(std::move(endpoints));
  made.reservations = std::make_shared<Reservations>();
  return made;
}

}  // namespace baton::schedule::testing
