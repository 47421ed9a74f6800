#include "control/reconcile/recorder.hpp"

#include <fmt/format.h>

#include "base/core/log.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

namespace {

kube::Object new_event(const kube::Object& about, const kube::ObjectKey& key) {
  kube::Object event;
  event["apiVersion"] = key.type.api_version();
  event["kind"] = key.type.kind;
  event["metadata"]["name"] = key.name;
  event["metadata"]["namespace"] = key.ns;
  auto& object = event["involvedObject"];
  for (const auto* member : {"apiVersion", "kind"}) object[member] = about.string_at({member});
  for (const auto* member : {"name", "namespace", "uid"}) {
    object[member] = about.string_at({"metadata", member});
  }
  event["source"]["component"] = "llminferenceservice-controller";
  event["count"] = 0;
  return event;
}

}  // namespace

void Recorder::record(const kube::Object& about, EventType type, std::string_view reason,
                      std::string_view message) {
  const bool warning = type == EventType::kWarning;
  const auto name = fmt::format("{}/{}", kube::namespace_of(about), kube::name_of(about));
  if (warning) {
    log::warn(message, {{"service", name}, {"reason", reason}});
  } else {
    log::info(message, {{"service", name}, {"reason", reason}});
  }
  std::uint64_t hash = 14695981039346656037U;  // FNV-1a
  for (const char c : fmt::format("{}\n{}", reason, message)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  }
  const kube::ObjectKey key{{"", "v1", "Event"},
                            std::string(kube::namespace_of(about)),
                            fmt::format("{}.{:016x}", kube::name_of(about), hash)};
  const auto deadline = Deadline::in(clock_, std::chrono::seconds(5));
  const auto before = cluster_.get(key, deadline);
  kube::Object event = before ? *before : new_event(about, key);
  event["type"] = warning ? "Warning" : "Normal";
  event["reason"] = reason;
  event["message"] = message;
  event["count"] = event["count"].if_int().value_or(0) + 1;
  event["lastTimestamp"] = kube::timestamp(clock_.wall());
  if (event.find("firstTimestamp") == nullptr) {
    event["firstTimestamp"] = event.string_at({"lastTimestamp"});
  }
  const auto written = before ? cluster_.update(event, kube::DryRun::kNo, deadline)
                              : cluster_.create(event, kube::DryRun::kNo, deadline);
  if (!written) log::debug("event not written", {{"error", written.error().message()}});
}

}  // namespace baton::reconcile
