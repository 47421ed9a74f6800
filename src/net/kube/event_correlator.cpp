#include "net/kube/event_correlator.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "net/kube/object.hpp"

namespace baton::kube {

namespace {

constexpr std::size_t kMaxEventName = 253;

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

}  // namespace

bool EventCorrelator::allow(const std::string& typed, Mono now) {
  Allowance& allowance = allowances_.at(typed, config_.kept);
  if (!allowance.known) {
    allowance = {true, static_cast<double>(config_.burst), now};
  }
  allowance.left = std::min<double>(
      config_.burst, allowance.left + seconds(now - allowance.at) / seconds(config_.refill));
  allowance.at = now;
  if (allowance.left < 1) return false;
  allowance.left -= 1;
  return true;
}

EventCorrelator::Outcome EventCorrelator::note(const Object& about, EventType type,
                                               std::string_view reason, std::string_view message,
                                               Mono now) {
  const std::string object = fmt::format("{}/{}/{}/{}", about.string_at({"kind"}),
                                         namespace_of(about), name_of(about), uid_of(about));
  const std::string typed =
      fmt::format("{}\n{}", object, type == EventType::kWarning ? "Warning" : "Normal");
  const std::string kind = fmt::format("{}\n{}", typed, reason);
  Alike& alike = alike_.at(kind, config_.kept);
  if (now - alike.last > config_.alike_within) alike.messages.clear();
  alike.last = now;
  if (alike.messages.size() <= config_.alike) alike.messages.emplace(message);
  const bool combined = alike.messages.size() > config_.alike;

  const std::string series = combined ? kind : fmt::format("{}\n{}", kind, message);
  std::int64_t& count = counts_.at(series, config_.kept);
  ++count;
  Outcome out;
  const std::string suffix = fmt::format(".{:016x}", fnv1a(series));
  out.name = std::string(name_of(about).substr(0, kMaxEventName - suffix.size())) + suffix;
  out.message =
      combined ? fmt::format("(combined from similar events): {}", message) : std::string(message);
  out.count = count;
  if (!allow(typed, now)) {
    ++dropped_;
    return out;
  }
  out.what = count == 1 ? Outcome::Do::kCreate : Outcome::Do::kRepeat;
  return out;
}

}  // namespace baton::kube
