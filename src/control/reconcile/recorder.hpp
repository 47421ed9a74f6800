#pragma once
// Events about a service: a log line, and an Event object in the cluster.

#include <string_view>

#include "net/kube/cluster.hpp"
#include "net/kube/event_recorder.hpp"

namespace baton::reconcile {

using kube::EventType;

// Repeats of an event raise its count, many alike become one series, and no service can flood the
// server (net/kube/event_correlator.hpp); every one of them is logged.
class Recorder {
 public:
  Recorder(kube::Cluster& cluster, const Clock& clock)
      : events_(cluster, clock, "llminferenceservice-controller") {}
  void record(const kube::Object& about, EventType type, std::string_view reason,
              std::string_view message);

 private:
  kube::EventRecorder events_;
};

}  // namespace baton::reconcile
