#include "routing/schedule/fields.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/core/nearest.hpp"
#include "formats/api/quantity.hpp"

namespace baton::schedule {

using text::json::Value;

namespace {

// In lower case; false when it is no token of RFC 9110 5.6.2.
bool to_header(std::string& name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!word && kMarks.find(c) == std::string_view::npos) return false;
  }
  return true;
}

}  // namespace

Fields::Fields(const Value& value, std::string pointer, std::vector<Setting>* settings)
    : object_(value.if_object()), pointer_(std::move(pointer)), settings_(settings) {
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

void Fields::note(std::string_view key, Value value, bool given) {
  if (settings_ == nullptr) return;
  settings_->push_back({.pointer = text::json::pointer(pointer_, key),
                        .value = std::move(value),
                        .origin = given ? "given" : "default",
                        .unused = ""});
}

std::string Fields::text(std::string_view key, std::string_view otherwise) {
  const Value* value = take(key);
  if (value != nullptr && value->if_string() == nullptr) {
    fail(key, fmt::format("expected a string, found {}", value->kind_name()));
    return {};
  }
  std::string out(value == nullptr ? otherwise : std::string_view(*value->if_string()));
  note(key, out, value != nullptr);
  return out;
}

bool Fields::boolean(std::string_view key, bool otherwise) {
  const Value* value = take(key);
  if (value != nullptr && value->if_bool() == nullptr) {
    fail(key, fmt::format("expected true or false, found {}", value->kind_name()));
    return otherwise;
  }
  const bool out = value == nullptr ? otherwise : *value->if_bool();
  note(key, out, value != nullptr);
  return out;
}

std::int64_t Fields::integer(std::string_view key, std::int64_t otherwise, std::int64_t least,
                             std::int64_t most) {
  const Value* value = take(key);
  if (value == nullptr) {
    note(key, otherwise, false);
    return otherwise;
  }
  const auto number = value->is_number() ? value->if_int() : std::nullopt;
  if (!number) {
    fail(key, fmt::format("expected an integer, found {}", value->is_number()
                                                               ? text::json::dump(*value)
                                                               : std::string(value->kind_name())));
  } else if (*number < least || *number > most) {
    fail(key, fmt::format("{} is outside {}..{}", *number, least, most));
  } else {
    note(key, *number, true);
    return *number;
  }
  return otherwise;
}

double Fields::number(std::string_view key, double otherwise) {
  const Value* value = take(key);
  const auto number = value == nullptr ? otherwise : value->if_double();
  if (!number) {
    fail(key, fmt::format("expected a number, found {}", value->kind_name()));
    return otherwise;
  }
  note(key, *number, value != nullptr);
  return *number;
}

double Fields::number(std::string_view key, double otherwise, double least, double most) {
  const double value = number(key, otherwise);
  if (value >= least && value <= most) return value;
  fail(key, fmt::format("{} is outside {}..{}", value, least, most));
  return otherwise;
}

Nanos Fields::duration(std::string_view key, Nanos otherwise) {
  const Value* value = take(key);
  if (value == nullptr) {
    note(key, format_duration(otherwise), false);
    return otherwise;
  }
  const auto* written = value->if_string();
  if (written == nullptr) {
    fail(key, fmt::format("expected a duration such as \"5s\", found {}", value->kind_name()));
    return otherwise;
  }
  const auto read = read_duration(*written);
  if (!read) {
    fail(key, read.error().message());
    return otherwise;
  }
  note(key, *written, true);
  return *read;
}

std::int64_t Fields::quantity(std::string_view key, std::int64_t otherwise) {
  const Value* value = take(key);
  if (value == nullptr || value->is_null()) {
    note(key, otherwise, false);
    return otherwise;
  }
  const auto read = api::quantity(*value);
  if (!read) {
    fail(key, read.error().message());
  } else if (*read < 0) {
    fail(key, fmt::format("{} is negative", text::json::dump(*value)));
  } else {
    note(key, *value, true);
    return *read;
  }
  return otherwise;
}

std::string Fields::choice(std::string_view key, std::string_view otherwise,
                           std::span<const std::string_view> words) {
  auto word = text(key, otherwise);
  if (std::ranges::find(words, word) == words.end()) {
    fail(key, fmt::format("'{}' is none of {}{}", word, fmt::join(words, ", "),
                          did_you_mean(word, words)));
  }
  return word;
}

std::string Fields::header(std::string_view key, std::string_view otherwise) {
  auto name = text(key, otherwise);
  if (!to_header(name)) fail(key, fmt::format("'{}' is no header's name", name));
  return name;
}

std::vector<std::string> Fields::headers(std::string_view key) {
  auto names = texts(key);
  for (auto& name : names) {
    if (!to_header(name)) fail(key, fmt::format("'{}' is no header's name", name));
  }
  return names;
}

std::vector<std::string> Fields::texts(std::string_view key) {
  std::vector<std::string> out;
  for (const auto& item : array(key)) {
    if (const auto* one = item.if_string()) {
      out.push_back(*one);
    } else {
      fail(key, fmt::format("expected a list of strings, found {} in it", item.kind_name()));
    }
  }
  return out;
}

Fields Fields::object(std::string_view key) {
  static const Value kNone;
  const Value* value = take(key);
  return {value == nullptr ? kNone : *value, text::json::pointer(pointer_, key), settings_};
}

void Fields::take_error(Fields& nested) {
  if (auto done = nested.finish(); !done && error_.empty()) {
    code_ = done.error().code();
    error_ = done.error().message();
  }
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

void Fields::unused(std::string_view key, std::string_view why) {
  const Value* value = take(key);
  if (value == nullptr) return;
  note(key, *value, true);
  if (settings_ != nullptr) settings_->back().unused = why;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
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
