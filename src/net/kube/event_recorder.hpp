#pragma once
// Writes Events about objects.

#include <mutex>
#include <string>
#include <string_view>

#include "net/kube/cluster.hpp"
#include "net/kube/event_correlator.hpp"

namespace baton::kube {

// Thread-safe. A repeat costs one request, what the correlator drops none. A failure is logged: an
// event is never a reason to stop.
class EventRecorder {
 public:
  // `component` is the events' source: "llminferenceservice-controller".
  EventRecorder(Cluster& cluster, const Clock& clock, std::string component)
      : cluster_(cluster), clock_(clock), component_(std::move(component)) {}

  // `at` is when it happened: a writer may be late.
  void record(const Object& about, EventType type, std::string_view reason,
              std::string_view message, Wall at);
  // Events that were not written because there were too many about one object.
  std::uint64_t dropped() const;

 private:
  Status create(const Object& about, EventType type, std::string_view reason, Wall at,
                const EventCorrelator::Outcome& outcome, const ObjectKey& key, Deadline deadline);
  Status repeat(const ObjectKey& key, const EventCorrelator::Outcome& outcome, std::int64_t count,
                Wall at, Deadline deadline);

  Cluster& cluster_;
  const Clock& clock_;
  const std::string component_;
  mutable std::mutex mutex_;  // guards correlator_
  EventCorrelator correlator_;
};

}  // namespace baton::kube
