#pragma once
// Reading lists and texts of objects. Pure.

#include <initializer_list>
#include <string_view>

#include "net/kube/object.hpp"

namespace baton::reconcile {

// The list at `path`; an empty one when it is absent or no list.
inline const text::json::Array& items(const kube::Object& object [[clang::lifetimebound]],
                                      std::initializer_list<std::string_view> path) {
  static const text::json::Array kNone;
  const auto* list = object.find_path(path);
  return list == nullptr || list->if_array() == nullptr ? kNone : *list->if_array();
}

inline std::string_view or_else(std::string_view text, std::string_view otherwise) {
  return text.empty() ? otherwise : text;
}

// Present and not null.
inline bool has(const kube::Object& object, std::initializer_list<std::string_view> path) {
  const auto* found = object.find_path(path);
  return found != nullptr && !found->is_null();
}

}  // namespace baton::reconcile
