#pragma once
// Events about a service: a log line, and an Event object in the cluster.

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/observe/metrics.hpp"
#include "net/kube/cluster.hpp"
#include "net/kube/event_recorder.hpp"

namespace baton::reconcile {

using kube::EventType;

// Events of a type that wait to be written; further ones are only logged. As client-go's
// maxQueuedEvents.
inline constexpr std::size_t kMaxWaitingEvents = 1000;

// Written a second, after a first burst, warnings first: in a storm the server has better things
// to do. A thousand services that are made in 40 seconds are told of within two minutes.
inline constexpr double kEventsPerSecond = 10;
inline constexpr double kEventBurst = 20;

// Repeats of an event raise its count, many alike become one series, and no service can flood the
// server (net/kube/event_correlator.hpp); every one of them is logged. An event tells when it
// happened, however late it is written. Thread-safe.
class Recorder {
 public:
  enum class Write : bool {
    kAtOnce,  // record() returns when the server has answered
    kLater,   // on a thread of its own: no pass waits for an event
  };
  Recorder(kube::Cluster& cluster, const Clock& clock, observe::Registry& registry, Write write);
  // What still waits is not written.
  ~Recorder();

  void record(const kube::Object& about, EventType type, std::string_view reason,
              std::string_view message);

 private:
  struct Waiting {
    kube::Object about;  // its identity
    EventType type;
    std::string reason, message;
    Wall at;
  };
  void write();
  bool waits() const { return !warnings_.empty() || !normal_.empty(); }
  // How long the next event waits for its turn. Of the writer's thread.
  Nanos turn(Mono now);

  kube::EventRecorder events_;
  const Clock& clock_;
  double turns_ = kEventBurst;
  Mono turns_at_;
  observe::Counter& dropped_;
  std::mutex mutex_;  // guards the three below
  std::deque<Waiting> warnings_, normal_;
  bool closed_ = false;
  std::condition_variable changed_;
  std::thread writer_;  // none when written at once
};

}  // namespace baton::reconcile
