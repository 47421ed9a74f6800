#pragma once
// Events about a service: a log line, and an Event object in the cluster.

#include <string_view>

#include "net/kube/cluster.hpp"

namespace baton::reconcile {

enum class EventType : bool { kNormal, kWarning };

// Repeats of an event raise its count: there are as many Event objects as different messages.
// Failures are logged; an event is never a reason to stop.
class Recorder {
 public:
  Recorder(kube::Cluster& cluster, const Clock& clock) : cluster_(cluster), clock_(clock) {}
  void record(const kube::Object& about, EventType type, std::string_view reason,
              std::string_view message);

 private:
  kube::Cluster& cluster_;
  const Clock& clock_;
};

}  // namespace baton::reconcile
