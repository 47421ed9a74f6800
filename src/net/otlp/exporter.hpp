#pragma once
// Tracing of a process: its tracer, and the loop that sends what its spans become.

#include <memory>
#include <string>

#include "base/async/event.hpp"
#include "base/async/loop.hpp"
#include "base/async/task_group.hpp"
#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "base/observe/span.hpp"
#include "base/observe/span_queue.hpp"
#include "net/otlp/encode.hpp"
#include "net/otlp/settings.hpp"
#include "net/otlp/transport.hpp"

namespace baton::otlp {

inline constexpr int kAttempts = 5;  // of one batch; then its spans are dropped
inline constexpr Nanos kLongestBackoff = std::chrono::seconds(30);
inline constexpr Nanos kFlush = std::chrono::seconds(3);  // for what is left at the end

// A collector that cannot be reached costs spans (counted), never requests: one log line when that
// begins, one when it is over. Outlives every span of its tracer.
class Tracing {
 public:
  // The references outlive it. `first_backoff` doubles with each attempt.
  struct Deps {
    const Clock& clock;
    Random& random;  // used here and now only
    observe::Registry& registry;
    Nanos first_backoff = std::chrono::seconds(1);
  };
  // kInvalid, kNotFound: the certificates.
  static Result<std::unique_ptr<Tracing>> start(Settings settings, const Deps& deps);
  ~Tracing();  // stop() within kFlush

  observe::Tracer& tracer() { return tracer_; }
  // Sends what has ended, once each, until the deadline; what is left then is counted as dropped.
  // From any thread, once.
  void stop(Deadline deadline);

 private:
  Tracing(Settings settings, const Deps& deps);
  Task<void> run();
  Batch next_batch();
  Task<void> deliver(Batch batch);
  bool settled(const Outcome& outcome, std::size_t spans);
  void tell_failure(const std::string& why);
  Task<void> finish(Deadline deadline);

  const Settings settings_;
  const Clock& clock_;
  const Nanos first_backoff_;
  observe::Counter &exported_, &unreachable_, &rejected_, &failures_;
  observe::SpanQueue queue_;
  observe::Tracer tracer_;

  // The loop's.
  async::Loop loop_{"otlp"};
  std::unique_ptr<Transport> transport_;
  SeededRandom jitter_;
  async::Event due_;     // a batch is there, or the end has come
  async::Event ending_;  // the end has come
  async::Event ended_;   // run() has returned
  bool stopping_ = false, done_ = false;
  std::size_t in_flight_ = 0;  // spans of the batch being sent
  bool failing_ = false;       // told so
  bool complained_ = false;    // of rejected spans
  async::TaskGroup tasks_;
};

}  // namespace baton::otlp
