#include "control/reconcile/recorder.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/core/log.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

namespace {

// What an Event says of the object it is about.
kube::Object identity(const kube::Object& object) {
  kube::Object out;
  for (const auto* member : {"apiVersion", "kind"}) out[member] = object.string_at({member});
  for (const auto* member : {"name", "namespace", "uid"}) {
    out["metadata"][member] = object.string_at({"metadata", member});
  }
  return out;
}

}  // namespace

Recorder::Recorder(kube::Cluster& cluster, const Clock& clock, observe::Registry& registry,
                   Write write)
    : events_(cluster, clock, "llminferenceservice-controller"),
      clock_(clock),
      turns_at_(clock.now()),
      dropped_(registry.counter("baton_controller_events_dropped_total",
                                "Events that were logged but not written: too many waited.")) {
  if (write == Write::kLater) writer_ = std::thread([this] { this->write(); });
}

Recorder::~Recorder() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
}

void Recorder::record(const kube::Object& about, EventType type, std::string_view reason,
                      std::string_view message) {
  const auto name = fmt::format("{}/{}", kube::namespace_of(about), kube::name_of(about));
  if (type == EventType::kWarning) {
    log::warn(message, {{"service", name}, {"reason", reason}});
  } else {
    log::info(message, {{"service", name}, {"reason", reason}});
  }
  if (!writer_.joinable()) {
    events_.record(about, type, reason, message, clock_.wall());
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    auto& waiting = type == EventType::kWarning ? warnings_ : normal_;
    if (waiting.size() >= kMaxWaitingEvents) {
      dropped_.add();
      return;
    }
    waiting.push_back(
        {identity(about), type, std::string(reason), std::string(message), clock_.wall()});
  }
  changed_.notify_one();
}

Nanos Recorder::turn(Mono now) {
  turns_ = std::min(kEventBurst, turns_ + seconds(now - turns_at_) * kEventsPerSecond) - 1;
  turns_at_ = now;
  const std::chrono::duration<double> wait(std::max(0.0, -turns_ / kEventsPerSecond));
  return std::chrono::duration_cast<Nanos>(wait);
}

void Recorder::write() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closed_ || waits(); });
    if (!closed_) changed_.wait_for(lock, turn(clock_.now()), [this] { return closed_; });
    if (closed_) return;
    auto& waiting = warnings_.empty() ? normal_ : warnings_;
    const Waiting next = std::move(waiting.front());
    waiting.pop_front();
    lock.unlock();
    events_.record(next.about, next.type, next.reason, next.message, next.at);
    lock.lock();
  }
}

}  // namespace baton::reconcile
