#pragma once
// The KV index under the names that dashboards read (picker reference 6.7), also under the older
// ones; where the configuration asks for them (enableMetrics).

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"
#include "routing/index/event_index.hpp"

namespace baton::watch {

inline constexpr std::size_t kMaxShownEngines = 1000;  // further ones become "other"

// A prompt's lookup. Thread-safe.
class KvLookupMetrics {
 public:
  explicit KvLookupMetrics(observe::Registry& registry);
  // `best`: leading blocks that the endpoint with most of them holds.
  void looked_up(Nanos took, std::uint32_t best);

 private:
  struct Pair {
    observe::Counter &now, &old;
  };
  static Pair counter(observe::Registry& registry, std::string_view name, std::string_view help);
  Pair requests_, hits_, best_;
  observe::Histogram &latency_, &old_latency_;
};

// What engines tell. Confined to the follower's thread.
class KvEventMetrics {
 public:
  explicit KvEventMetrics(observe::Registry& registry) : registry_(registry) {}
  // Counts of the index as they are now.
  void indexed(const index::EventIndex::Counts& now);
  void subscribers(std::size_t count);
  void reconnected();
  void received(std::string_view engine);
  // `operation`: "connect", "receive".
  void failed(std::string_view engine, std::string_view operation);

 private:
  void add(std::string_view current, std::string_view older, std::string_view help,
           const observe::Labels& labels, std::uint64_t by);
  std::string shown(std::string_view engine);

  observe::Registry& registry_;
  index::EventIndex::Counts before_ = {};
  std::set<std::string, std::less<>> engines_;
};

}  // namespace baton::watch
