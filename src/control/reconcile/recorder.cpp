#include "control/reconcile/recorder.hpp"

#include <fmt/format.h>

#include "base/core/log.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

void Recorder::record(const kube::Object& about, EventType type, std::string_view reason,
                      std::string_view message) {
  const auto name = fmt::format("{}/{}", kube::namespace_of(about), kube::name_of(about));
  if (type == EventType::kWarning) {
    log::warn(message, {{"service", name}, {"reason", reason}});
  } else {
    log::info(message, {{"service", name}, {"reason", reason}});
  }
  events_.record(about, type, reason, message);
}

}  // namespace baton::reconcile
