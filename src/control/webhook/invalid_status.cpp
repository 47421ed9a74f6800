#include "control/webhook/invalid_status.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "formats/api/convert.hpp"

namespace baton::webhook {
namespace {

using api::Finding;
using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::size_t kLongestValue = 128;

// The value a pointer leads to, or null.
const Value* value_at(const Value& object, std::string_view pointer) {
  const Value* here = &object;
  while (here != nullptr && !pointer.empty()) {
    pointer.remove_prefix(1);
    const std::size_t slash = std::min(pointer.find('/'), pointer.size());
    const std::string_view name = pointer.substr(0, slash);
    pointer.remove_prefix(slash);
    if (const Array* items = here->if_array()) {
      std::size_t index = items->size();
      std::from_chars(name.data(), name.data() + name.size(), index);
      here = index < items->size() ? &(*items)[index] : nullptr;
      continue;
    }
    const Object* members = here->if_object();
    if (members == nullptr) return nullptr;
    const auto found = std::ranges::find_if(*members, [&](const text::json::Member& member) {
      return text::json::pointer("", member.key).substr(1) == name;
    });
    here = found == members->end() ? nullptr : &found->value;
  }
  return here;
}

std::string_view cause_reason(Finding::Kind kind) {
  switch (kind) {
    case Finding::Kind::kInvalid:
      return "FieldValueInvalid";
    case Finding::Kind::kRequired:
      return "FieldValueRequired";
    case Finding::Kind::kForbidden:
      return "FieldValueForbidden";
    case Finding::Kind::kDuplicate:
      return "FieldValueDuplicate";
  }
  return "";
}

// "Invalid value: 3: must be …", as k8s.io/apimachinery's field errors read.
std::string cause_message(const Value& object, const Finding& finding) {
  switch (finding.kind) {
    case Finding::Kind::kRequired:
      return fmt::format("Required value: {}", finding.message);
    case Finding::Kind::kForbidden:
      return fmt::format("Forbidden: {}", finding.message);
    case Finding::Kind::kInvalid:
    case Finding::Kind::kDuplicate:
      break;
  }
  const Value* value = value_at(object, finding.pointer);
  std::string shown = value == nullptr ? "null" : text::json::dump(*value);
  if (value != nullptr && (value->is_object() || shown.size() > kLongestValue)) {
    shown = fmt::format("\"{}\"", value->kind_name());
  }
  const bool twice = finding.kind == Finding::Kind::kDuplicate;
  return fmt::format("{} value: {}: {}", twice ? "Duplicate" : "Invalid", shown, finding.message);
}

}  // namespace

Value invalid_status(const Value& object, const std::vector<Finding>& errors) {
  Array causes;
  std::vector<std::string> told;
  for (const Finding& finding : errors) {
    if (causes.size() == kMostCauses) break;
    const std::string field = api::field_path(finding.pointer);
    const std::string message = cause_message(object, finding);
    told.push_back(fmt::format("{}: {}", field, message));
    causes.push_back(
        Object{{"reason", cause_reason(finding.kind)}, {"message", message}, {"field", field}});
  }
  const std::string_view kind = object.string_at({"kind"});
  const std::string_view name = object.string_at({"metadata", "name"});
  const std::string all =
      told.size() == 1 ? told.front() : fmt::format("[{}]", fmt::join(told, ", "));
  return Object{
      {"metadata", Object()},
      {"status", "Failure"},
      {"message", fmt::format("{}.{} \"{}\" is invalid: {}", kind, api::kGroup, name, all)},
      {"reason", "Invalid"},
      {"details",
       Object{{"name", name}, {"group", api::kGroup}, {"kind", kind}, {"causes", causes}}},
      {"code", 422}};
}

Value refused_status(int code, std::string_view reason, std::string_view message) {
  return Object{{"metadata", Object()},
                {"status", "Failure"},
                {"message", message},
                {"reason", reason},
                {"code", code}};
}

Array warnings(const std::vector<Finding>& findings) {
  Array out;
  for (const Finding& finding : findings) {
    if (out.size() == kMostWarnings) break;
    std::string line =
        finding.pointer.empty()
            ? finding.message
            : fmt::format("{}: {}", api::field_path(finding.pointer), finding.message);
    if (line.size() > kLongestWarning) line.resize(kLongestWarning);
    out.push_back(std::move(line));
  }
  return out;
}

}  // namespace baton::webhook
