#include "control/reconcile/deeds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

#include "net/kube/object.hpp"

namespace baton::reconcile {

void Deeds::add(std::string_view done, const kube::Object& child) {
  const auto what = fmt::format("{} {}", child.string_at({"kind"}), kube::name_of(child));
  const auto latest = std::ranges::find(events_.rbegin(), events_.rend(), done, &Event::done);
  constexpr std::string_view kBetween = ", ";
  if (latest != events_.rend() &&
      latest->message.size() + kBetween.size() + what.size() <= kMaxEventMessage) {
    latest->message.append(kBetween).append(what);
  } else {
    events_.push_back({std::string(done), fmt::format("{} {}", done, what)});
  }
}

void Deeds::tell(Recorder& recorder, const kube::Object& service) {
  for (const auto& [done, message] : events_) {
    recorder.record(service, EventType::kNormal, done, message);
  }
  events_.clear();
}

}  // namespace baton::reconcile
