#include "routing/schedule/fields.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/core/nearest.hpp"

namespace baton::schedule {

using text::json::Value;

Fields::Fields(const Value& value, std::string pointer)
    : object_(value.if_object()), pointer_(std::move(pointer)) {
  if (object_ == nullptr && !value.is_null()) {
    error_ = fmt::format("{}: expected an object, found {}", pointer_, value.kind_name());
  }
}

const Value* Fields::take(std::string_view key) {
  known_.push_back(key);
  return object_ == nullptr ? nullptr : object_->find(key);
}

bool Fields::has(std::string_view key) const {
  return object_ != nullptr && object_->find(key) != nullptr;
}

void Fields::fail(std::string_view key, std::string_view problem) {
  if (error_.empty()) {
    error_ = fmt::format("{}: {}", text::json::pointer(pointer_, key), problem);
  }
}

std::string Fields::text(std::string_view key, std::string_view otherwise) {
  const Value* value = take(key);
  if (value == nullptr) return std::string(otherwise);
  if (const auto* string = value->if_string()) return *string;
  fail(key, fmt::format("expected a string, found {}", value->kind_name()));
  return {};
}

std::int64_t Fields::integer(std::string_view key, std::int64_t otherwise, std::int64_t least,
                             std::int64_t most) {
  const Value* value = take(key);
  if (value == nullptr) return otherwise;
  const auto number = value->is_number() ? value->if_int() : std::nullopt;
  if (!number) {
    fail(key, fmt::format("expected an integer, found {}", value->is_number()
                                                               ? text::json::dump(*value)
                                                               : std::string(value->kind_name())));
  } else if (*number < least || *number > most) {
    fail(key, fmt::format("{} is outside {}..{}", *number, least, most));
  } else {
    return *number;
  }
  return otherwise;
}

double Fields::number(std::string_view key, double otherwise) {
  const Value* value = take(key);
  if (value == nullptr) return otherwise;
  if (const auto number = value->if_double()) return *number;
  fail(key, fmt::format("expected a number, found {}", value->kind_name()));
  return otherwise;
}

const text::json::Array& Fields::array(std::string_view key) {
  static const text::json::Array kEmpty;
  const Value* value = take(key);
  if (value == nullptr || value->is_null()) return kEmpty;
  if (const auto* items = value->if_array()) return *items;
  fail(key, fmt::format("expected a list, found {}", value->kind_name()));
  return kEmpty;
}

const Value* Fields::any(std::string_view key) { return take(key); }

void Fields::later(std::string_view key, std::string_view sentence) {
  if (take(key) == nullptr || !error_.empty()) return;
  fail(key, sentence);
  code_ = Code::kUnsupported;
}

Status Fields::finish() {
  if (!error_.empty()) return Error(code_, error_);
  if (object_ == nullptr) return {};
  for (const auto& member : *object_) {
    if (std::ranges::find(known_, member.key) != known_.end()) continue;
    return invalid(fmt::format("{}: unknown field{}", text::json::pointer(pointer_, member.key),
                               did_you_mean(member.key, known_)));
  }
  return {};
}

}  // namespace baton::schedule
