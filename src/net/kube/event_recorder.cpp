#include "net/kube/event_recorder.hpp"

#include "base/core/log.hpp"
#include "net/kube/object.hpp"

namespace baton::kube {

namespace {
constexpr Nanos kWriteBudget = std::chrono::seconds(5);
constexpr const char* kNamespaceOfClusterScoped = "default";  // as client-go
}  // namespace

std::uint64_t EventRecorder::dropped() const {
  const std::lock_guard lock(mutex_);
  return correlator_.dropped();
}

void EventRecorder::record(const Object& about, EventType type, std::string_view reason,
                           std::string_view message, Wall at) {
  using Do = EventCorrelator::Outcome::Do;
  EventCorrelator::Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    outcome = correlator_.note(about, type, reason, message, clock_.now());
  }
  if (outcome.what == Do::kDrop) return;
  const auto ns = namespace_of(about);
  const ObjectKey key{
      {"", "v1", "Event"}, std::string(ns.empty() ? kNamespaceOfClusterScoped : ns), outcome.name};
  const auto deadline = Deadline::in(clock_, kWriteBudget);
  Status done = outcome.what == Do::kRepeat
                    ? repeat(key, outcome, outcome.count, at, deadline)
                    : create(about, type, reason, at, outcome, key, deadline);
  if (!done && outcome.what == Do::kRepeat && done.error().code() == Code::kNotFound) {
    done = create(about, type, reason, at, outcome, key, deadline);  // events live for an hour
  } else if (!done && outcome.what == Do::kCreate && done.error().code() == Code::kConflict) {
    // From an earlier run of this process: goes on counting.
    const auto found = cluster_.get(key, deadline);
    const auto* count = found ? found->find("count") : nullptr;
    done =
        repeat(key, outcome, count == nullptr ? 1 : count->if_int().value_or(0) + 1, at, deadline);
  }
  if (!done) log::debug("event not written", {{"error", done.error().message()}});
}

Status EventRecorder::create(const Object& about, EventType type, std::string_view reason, Wall at,
                             const EventCorrelator::Outcome& outcome, const ObjectKey& key,
                             Deadline deadline) {
  const std::string when = timestamp(at);
  Object event;
  event["apiVersion"] = "v1";
  event["kind"] = "Event";
  event["metadata"]["name"] = key.name;
  event["metadata"]["namespace"] = key.ns;
  auto& object = event["involvedObject"];
  for (const auto* member : {"apiVersion", "kind"}) object[member] = about.string_at({member});
  for (const auto* member : {"name", "namespace", "uid"}) {
    if (const auto text = about.string_at({"metadata", member}); !text.empty()) {
      object[member] = text;
    }
  }
  event["type"] = type == EventType::kWarning ? "Warning" : "Normal";
  event["reason"] = reason;
  event["message"] = outcome.message;
  event["source"]["component"] = component_;
  event["reportingComponent"] = component_;
  event["count"] = outcome.count;
  event["firstTimestamp"] = when;
  event["lastTimestamp"] = when;
  const auto made = cluster_.create(event, DryRun::kNo, deadline);
  return made ? Status() : Status(made.error());
}

Status EventRecorder::repeat(const ObjectKey& key, const EventCorrelator::Outcome& outcome,
                             std::int64_t count, Wall at, Deadline deadline) {
  Object patch;
  patch["count"] = count;
  patch["lastTimestamp"] = timestamp(at);
  patch["message"] = outcome.message;
  const auto made = cluster_.patch(key, patch, DryRun::kNo, deadline);
  return made ? Status() : Status(made.error());
}

}  // namespace baton::kube
