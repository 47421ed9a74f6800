#include "net/kube/object.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <ctime>

namespace baton::kube {

std::int64_t generation_of(const Object& o) {
  const auto* value = o.find_path({"metadata", "generation"});
  return value == nullptr ? 0 : value->if_int().value_or(0);
}

std::string_view label(const Object& o, std::string_view key) {
  return o.string_at({"metadata", "labels", key});
}
std::string_view annotation(const Object& o, std::string_view key) {
  return o.string_at({"metadata", "annotations", key});
}

Object controller_reference(const Object& owner) {
  Object ref;
  ref["apiVersion"] = owner.string_at({"apiVersion"});
  ref["kind"] = owner.string_at({"kind"});
  ref["name"] = name_of(owner);
  ref["uid"] = uid_of(owner);
  ref["controller"] = true;
  ref["blockOwnerDeletion"] = true;
  return ref;
}

std::string_view controller_uid(const Object& o) {
  const auto* refs = o.find_path({"metadata", "ownerReferences"});
  if (refs == nullptr || refs->if_array() == nullptr) return "";
  for (const auto& ref : *refs->if_array()) {
    const auto* controller = ref.find("controller");
    if (controller != nullptr && controller->if_bool() != nullptr && *controller->if_bool()) {
      return ref.string_at({"uid"});
    }
  }
  return "";
}

std::string timestamp(Wall at) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(at);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(seconds));
}

std::string micro_timestamp(Wall at) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(at);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(at - whole).count();
  std::string out = timestamp(whole);
  out.pop_back();
  return fmt::format("{}.{:06}Z", out, micros);
}

std::optional<Wall> parse_timestamp(std::string_view text) {
  std::tm fields{};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &fields);
  if (end == nullptr) return std::nullopt;
  std::string_view rest(end);
  Wall at = std::chrono::system_clock::from_time_t(timegm(&fields));
  if (rest.starts_with('.')) {
    std::int64_t nanos = 0;
    std::size_t digits = 0;
    for (rest.remove_prefix(1); !rest.empty() && rest[0] >= '0' && rest[0] <= '9'; ++digits) {
      if (digits < 9) nanos = nanos * 10 + (rest[0] - '0');
      rest.remove_prefix(1);
    }
    if (digits == 0) return std::nullopt;
    for (; digits < 9; ++digits) nanos *= 10;
    at += std::chrono::duration_cast<Wall::duration>(Nanos(nanos));
  }
  if (rest == "Z" || rest == "z") return at;
  if (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') || rest[3] != ':') return std::nullopt;
  int hours = 0;
  int minutes = 0;
  const auto number = [&](std::size_t from, int& into) {
    return std::from_chars(rest.data() + from, rest.data() + from + 2, into).ptr ==
           rest.data() + from + 2;
  };
  if (!number(1, hours) || !number(4, minutes) || hours > 23 || minutes > 59) return std::nullopt;
  const auto offset = std::chrono::hours(hours) + std::chrono::minutes(minutes);
  return rest[0] == '+' ? at - offset : at + offset;
}

namespace {
Object* find_in(Object& conditions, std::string_view type) {
  if (conditions.if_array() == nullptr) return nullptr;
  for (auto& entry : *conditions.if_array()) {
    if (entry.string_at({"type"}) == type) return &entry;
  }
  return nullptr;
}
}  // namespace

const Object* find_condition(const Object& o, std::string_view type) {
  const auto* conditions = o.find_path({"status", "conditions"});
  if (conditions == nullptr || conditions->if_array() == nullptr) return nullptr;
  for (const auto& entry : *conditions->if_array()) {
    if (entry.string_at({"type"}) == type) return &entry;
  }
  return nullptr;
}

bool condition_is(const Object& o, std::string_view type, std::string_view status) {
  const auto* condition = find_condition(o, type);
  return condition != nullptr && condition->string_at({"status"}) == status;
}

void set_condition(Object& conditions, const Condition& condition, Wall now) {
  Object* entry = find_in(conditions, condition.type);
  if (entry == nullptr) {
    conditions.push_back(Object(text::json::Object{}));
    entry = &conditions.if_array()->back();
    (*entry)["type"] = condition.type;
  }
  const bool moved = entry->string_at({"status"}) != condition.status;
  (*entry)["status"] = condition.status;
  if (moved) (*entry)["lastTransitionTime"] = timestamp(now);
  const auto optional = [&](std::string_view key, const std::string& value) {
    if (value.empty()) {
      entry->if_object()->erase(key);
    } else {
      (*entry)[key] = value;
    }
  };
  optional("reason", condition.reason);
  optional("message", condition.message);
  optional("severity", condition.severity);
}

void remove_condition(Object& conditions, std::string_view type) {
  if (auto* array = conditions.if_array()) {
    std::erase_if(*array, [&](const Object& c) { return c.string_at({"type"}) == type; });
  }
}

void merge_patch(Object& target, const Object& patch) {
  if (!patch.is_object()) {
    target = patch;
    return;
  }
  if (!target.is_object()) target = text::json::Object{};
  for (const auto& member : *patch.if_object()) {
    if (member.value.is_null()) {
      target.if_object()->erase(member.key);
    } else {
      merge_patch(target[member.key], member.value);
    }
  }
}

std::string name_suffix(std::uint64_t random) {
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  std::string out;
  for (int i = 0; i < 5; ++i) {
    out += kAlphabet[random % kAlphabet.size()];
    random /= kAlphabet.size();
  }
  return out;
}

LabelSelector match_labels(const Object& labels) {
  LabelSelector out;
  if (const auto* members = labels.if_object()) {
    for (const auto& member : *members) {
      if (const auto* text = member.value.if_string()) out[member.key] = *text;
    }
  }
  return out;
}

}  // namespace baton::kube
