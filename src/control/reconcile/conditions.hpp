#pragma once
// The conditions of a service while its new status is made. Controller reference 5.5.

#include <optional>
#include <span>
#include <string_view>

#include "net/kube/object.hpp"

namespace baton::reconcile {

// Confined to its owner. lastTransitionTime moves only when a condition's status changes.
class Conditions {
 public:
  Conditions(kube::Object list, Wall now) : list_(std::move(list)), now_(now) {}

  void set(const kube::Condition& condition) { kube::set_condition(list_, condition, now_); }
  void remove(std::string_view type) { kube::remove_condition(list_, type); }
  const kube::Object* find(std::string_view type) const;
  std::string_view status(std::string_view type) const;  // "" when absent
  // Sets it to Unknown when it is absent.
  void initialise(std::string_view type);

  // True unless one of `parts`, in that order, is False; then with the first one's words.
  void combine(std::string_view type, std::span<const std::string_view> parts);
  // False beats Unknown; of several False ones the most recently changed gives the words.
  void conclude(std::string_view type, std::span<const std::string_view> parts);

  // Sorted by type.
  kube::Object take() &&;

 private:
  void copy(std::string_view type, const kube::Object& from);

  kube::Object list_;
  const Wall now_;
};

// One of a part: "Info", True when `reason` is empty and False otherwise.
kube::Condition part(std::string_view type, std::string_view reason, std::string_view message);

}  // namespace baton::reconcile
