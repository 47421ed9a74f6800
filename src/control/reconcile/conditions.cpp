#include "control/reconcile/conditions.hpp"

#include <algorithm>
#include <string>

namespace baton::reconcile {

const kube::Object* Conditions::find(std::string_view type) const {
  if (list_.if_array() == nullptr) return nullptr;
  for (const auto& entry : *list_.if_array()) {
    if (entry.string_at({"type"}) == type) return &entry;
  }
  return nullptr;
}

std::string_view Conditions::status(std::string_view type) const {
  const auto* entry = find(type);
  return entry == nullptr ? "" : entry->string_at({"status"});
}

void Conditions::initialise(std::string_view type) {
  if (find(type) == nullptr) set({std::string(type), "Unknown", "", "", ""});
}

void Conditions::copy(std::string_view type, const kube::Object& from) {
  set({std::string(type), std::string(from.string_at({"status"})),
       std::string(from.string_at({"reason"})), std::string(from.string_at({"message"})), ""});
}

void Conditions::combine(std::string_view type, std::span<const std::string_view> parts) {
  for (const auto part : parts) {
    if (status(part) == "False") return copy(type, *find(part));
  }
  set({std::string(type), "True", "", "", ""});
}

void Conditions::conclude(std::string_view type, std::span<const std::string_view> parts) {
  const kube::Object* worst = nullptr;
  for (const auto part : parts) {
    const auto* entry = find(part);
    if (entry == nullptr || entry->string_at({"status"}) == "True") continue;
    const auto rank = [](const kube::Object& one) { return one.string_at({"status"}) == "False"; };
    const auto since = [](const kube::Object& one) {
      return one.string_at({"lastTransitionTime"});
    };
    // RFC 3339 in UTC: later times are larger texts.
    if (worst == nullptr || rank(*entry) > rank(*worst) ||
        (rank(*entry) == rank(*worst) && since(*entry) > since(*worst))) {
      worst = entry;
    }
  }
  if (worst == nullptr) return set({std::string(type), "True", "", "", ""});
  copy(type, *worst);
}

kube::Object Conditions::take() && {
  if (auto* array = list_.if_array()) {
    std::ranges::sort(*array, {}, [](const kube::Object& c) { return c.string_at({"type"}); });
  }
  return std::move(list_);
}

kube::Condition part(std::string_view type, std::string_view reason, std::string_view message) {
  return {std::string(type), reason.empty() ? "True" : "False", std::string(reason),
          std::string(message), "Info"};
}

}  // namespace baton::reconcile
