#include "routing/watch/kv_cache_metrics.hpp"

#include <fmt/format.h>

#include <utility>

namespace baton::watch {
namespace {

const std::vector<double> kSeconds = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};

std::string index_name(std::string_view name) {
  return fmt::format("llm_d_epp_kv_cache_index_{}", name);
}
std::string older_index_name(std::string_view name) {
  return fmt::format("kvcache_index_{}", name);
}
std::string events_name(std::string_view name) {
  return fmt::format("llm_d_epp_kv_cache_events_{}", name);
}
std::string older_events_name(std::string_view name) {
  return fmt::format("kvcache_kvevents_{}", name);
}

}  // namespace

KvLookupMetrics::KvLookupMetrics(observe::Registry& registry)
    : requests_(counter(registry, "lookup_requests_total", "prompts that were looked up")),
      hits_(counter(registry, "lookup_hits_total", "leading blocks of prompts that were found")),
      best_(counter(registry, "max_pod_hit_count_total",
                    "leading blocks of prompts at the endpoint that holds most")),
      latency_(
          registry.histogram(index_name("lookup_latency_seconds"), "time of a lookup", kSeconds)),
      old_latency_(registry.histogram(older_index_name("lookup_latency_seconds"),
                                      "time of a lookup", kSeconds)) {}

KvLookupMetrics::Pair KvLookupMetrics::counter(observe::Registry& registry, std::string_view name,
                                               std::string_view help) {
  return {registry.counter(index_name(name), help), registry.counter(older_index_name(name), help)};
}

// A run of blocks begins with the first one, so that what anybody holds is what the best holds.
void KvLookupMetrics::looked_up(Nanos took, std::uint32_t best) {
  requests_.now.add(), requests_.old.add();
  hits_.now.add(best), hits_.old.add(best);
  best_.now.add(best), best_.old.add(best);
  latency_.observe(seconds(took)), old_latency_.observe(seconds(took));
}

void KvEventMetrics::add(std::string_view current, std::string_view older, std::string_view help,
                         const observe::Labels& labels, std::uint64_t by) {
  registry_.counter(current, help, labels).add(static_cast<double>(by));
  registry_.counter(older, help, labels).add(static_cast<double>(by));
}

void KvEventMetrics::indexed(const index::EventIndex::Counts& now) {
  const auto before = std::exchange(before_, now);
  const auto count = [&](std::string (*named)(std::string_view),
                         std::string (*older)(std::string_view), std::string_view name,
                         std::string_view help, std::uint64_t by) {
    if (by > 0) add(named(name), older(name), help, {}, by);
  };
  count(index_name, older_index_name, "admissions_total", "blocks that engines told of",
        now.stored - before.stored);
  count(index_name, older_index_name, "evictions_total", "blocks that engines told to be gone",
        now.removed - before.removed);
  count(events_name, older_events_name, "dedup_removed_hashes_suppressed_total",
        "removals of blocks that are announced once more", now.suppressed - before.suppressed);
  count(events_name, older_events_name, "dedup_removed_hashes_forwarded_total",
        "removals that took effect", now.removed - before.removed);
}

void KvEventMetrics::subscribers(std::size_t count) {
  for (const auto& name :
       {events_name("active_subscribers"), older_events_name("active_subscribers")}) {
    registry_.gauge(name, "engines whose events come").set(static_cast<double>(count));
  }
}

void KvEventMetrics::reconnected() {
  add(events_name("subscriber_reconnections_total"),
      older_events_name("subscriber_reconnections_total"),
      "connections to engines lost or not made", {}, 1);
}

std::string KvEventMetrics::shown(std::string_view engine) {
  const auto known = engines_.find(engine);
  if (known != engines_.end()) return *known;
  if (engines_.size() >= kMaxShownEngines) return "other";
  return *engines_.emplace(engine).first;
}

void KvEventMetrics::received(std::string_view engine) {
  add(events_name("messages_received_total"), older_events_name("messages_received_total"),
      "batches of events received", {{"pod_identifier", shown(engine)}}, 1);
}

void KvEventMetrics::failed(std::string_view engine, std::string_view operation) {
  add(events_name("zmq_errors_total"), older_events_name("zmq_errors_total"),
      "what failed of a connection to an engine",
      {{"pod_identifier", shown(engine)}, {"operation", std::string(operation)}}, 1);
}

}  // namespace baton::watch
