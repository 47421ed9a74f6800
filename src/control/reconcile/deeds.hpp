#pragma once
// What a pass did to a service's children, told in as few events as hold it: a burst of services
// would otherwise be mostly events.

#include <string>
#include <string_view>
#include <vector>

#include "control/reconcile/recorder.hpp"

namespace baton::reconcile {

// Bytes of an event's message, as the API server allows a note of events.k8s.io.
inline constexpr std::size_t kMaxEventMessage = 1024;

class Deeds {
 public:
  // `done` is "Created", "Updated" or "Deleted".
  void add(std::string_view done, const kube::Object& child);
  // One event for each sort of deed, "Created Deployment a, Service b", and another one where that
  // is too long. Nothing is left to tell.
  void tell(Recorder& recorder, const kube::Object& service);

 private:
  struct Event {
    std::string done, message;
  };
  std::vector<Event> events_;  // in the order of their first deeds
};

}  // namespace baton::reconcile
