#include "formats/openai/fields.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace baton::openai {
namespace {

using text::json::Value;

std::string described(const Value& v) {
  if (const auto* object = v.if_object())
    return fmt::format("'<dict of {} items>'", object->size());
  if (const auto* array = v.if_array()) return fmt::format("'<list of {} items>'", array->size());
  if (const std::string* s = v.if_string()) return fmt::format("'{}'", s->substr(0, 100));
  return text::json::dump(v);
}

ErrorBody schema_error(std::string_view place, std::string_view kind, std::string_view message,
                       std::string_view input) {
  return {
      400, "Bad Request",
      fmt::format("1 validation error:\n  {{'type': '{}', 'loc': '{}', 'msg': '{}', 'input': {}}}",
                  kind, place, message, input),
      std::string(place)};
}

}  // namespace

std::string shown(double number) {
  if (std::trunc(number) == number && std::fabs(number) < 1e15)
    return fmt::format("{:.1f}", number);
  return fmt::format("{}", number);
}

ErrorBody not_json(std::string_view why) {
  return {400, "Bad Request",
          fmt::format("1 validation error:\n  {{'type': 'json_invalid', 'loc': 'body', 'msg': "
                      "'JSON decode error', 'ctx': {{'error': '{}'}}}}",
                      why),
          "body"};
}

ErrorBody not_an_object(const Value& value) {
  return schema_error("body", "model_attributes_type",
                      "Input should be a valid dictionary or object to extract fields from",
                      described(value));
}

const Value* Fields::find(std::string_view name) const {
  const Value* v = object_->find(name);
  return v == nullptr || v->is_null() ? nullptr : v;
}

void Fields::malformed(std::string_view name, std::string_view kind, std::string_view message,
                       const Value& input) {
  if (!error_) error_ = schema_error(fmt::format("body.{}", name), kind, message, described(input));
}

void Fields::missing(std::string_view name) {
  if (error_) return;
  error_ = schema_error(fmt::format("body.{}", name), "missing", "Field required",
                        fmt::format("'<dict of {} items>'", object_->size()));
}

void Fields::refuse(std::string_view param, std::string message) {
  if (!error_) error_ = ErrorBody{400, "BadRequestError", std::move(message), std::string(param)};
}

void Fields::out_of_range(std::string_view param, std::string_view message,
                          std::string_view value) {
  refuse(param, fmt::format("{}, got {}. (parameter={}, value={})", message, value, param, value));
}

bool Fields::flag(std::string_view name, bool otherwise) {
  const Value* v = find(name);
  if (v == nullptr) return otherwise;
  if (const bool* b = v->if_bool()) return *b;
  malformed(name, "bool_type", "Input should be a valid boolean", *v);
  return otherwise;
}

std::optional<double> Fields::number(std::string_view name) {
  const Value* v = find(name);
  if (v == nullptr) return std::nullopt;
  if (const auto n = v->if_double()) return n;
  malformed(name, "float_type", "Input should be a valid number", *v);
  return std::nullopt;
}

std::optional<std::int64_t> Fields::integer(std::string_view name) {
  const Value* v = find(name);
  if (v == nullptr) return std::nullopt;
  if (const auto n = v->if_int()) return n;
  malformed(name, "int_type", "Input should be a valid integer", *v);
  return std::nullopt;
}

std::optional<std::string> Fields::string(std::string_view name) {
  const Value* v = find(name);
  if (v == nullptr) return std::nullopt;
  if (const std::string* s = v->if_string()) return *s;
  malformed(name, "string_type", "Input should be a valid string", *v);
  return std::nullopt;
}

const text::json::Object* Fields::object(std::string_view name) {
  const Value* v = find(name);
  if (v == nullptr || v->is_object()) return v == nullptr ? nullptr : v->if_object();
  malformed(name, "dict_type", "Input should be a valid dictionary", *v);
  return nullptr;
}

std::vector<std::uint32_t> Fields::ids(std::string_view name) {
  std::vector<std::uint32_t> out;
  const Value* v = find(name);
  if (v == nullptr) return out;
  const auto* list = v->if_array();
  if (list == nullptr) {
    malformed(name, "list_type", "Input should be a valid list", *v);
    return out;
  }
  if (list->size() > kMaxPromptIds)
    refuse(name, fmt::format("'{}' has more than {} ids", name, kMaxPromptIds));
  out.reserve(list->size());
  for (const Value& item : *list) {
    const auto n = item.if_uint();
    if (!n || *n > std::numeric_limits<std::uint32_t>::max()) {
      malformed(fmt::format("{}.{}", name, out.size()), "int_type",
                "Input should be a valid token id", item);
      return {};
    }
    out.push_back(static_cast<std::uint32_t>(*n));
  }
  return out;
}

}  // namespace baton::openai
