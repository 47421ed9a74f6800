#include "base/text/json.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/core/assert.hpp"

namespace baton::text::json {

Object::Object() = default;
Object::Object(const Object&) = default;
Object::Object(Object&&) noexcept = default;
Object& Object::operator=(const Object&) = default;
Object& Object::operator=(Object&&) noexcept = default;
Object::~Object() = default;
Object::Object(std::initializer_list<Member> members) : members_(members) {}

const Value* Object::find(std::string_view key) const {
  for (const auto& [name, value] : members_) {
    if (name == key) return &value;
  }
  return nullptr;
}

Value* Object::find(std::string_view key) {
  return const_cast<Value*>(std::as_const(*this).find(key));
}

Value& Object::set(std::string_view key, Value value) {
  Value& slot = (*this)[key];
  slot = std::move(value);
  return slot;
}

Value& Object::operator[](std::string_view key) {
  if (Value* found = find(key)) return *found;
  members_.push_back({std::string(key), Value()});
  return members_.back().value;
}

bool Object::erase(std::string_view key) {
  return std::erase_if(members_, [&](const Member& m) { return m.key == key; }) > 0;
}

void Object::reserve(std::size_t members) { members_.reserve(members); }

void Object::append(std::string key, Value value) {
  members_.push_back({std::move(key), std::move(value)});
}

bool operator==(const Object& a, const Object& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.begin(), a.end(), [&](const Member& m) {
    const Value* other = b.find(m.key);
    return other != nullptr && *other == m.value;
  });
}

void Value::set_unsigned(std::uint64_t n) {
  if (n <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    data_ = static_cast<std::int64_t>(n);
  } else {
    data_ = n;
  }
}

std::optional<std::int64_t> Value::if_int() const {
  if (const auto* n = std::get_if<std::int64_t>(&data_)) return *n;
  if (const auto* d = std::get_if<double>(&data_)) {
    if (std::trunc(*d) == *d && *d >= -0x1p63 && *d < 0x1p63) return static_cast<std::int64_t>(*d);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> Value::if_uint() const {
  if (const auto* n = std::get_if<std::uint64_t>(&data_)) return *n;
  if (const auto n = if_int(); n && *n >= 0) return static_cast<std::uint64_t>(*n);
  return std::nullopt;
}

std::optional<double> Value::if_double() const {
  if (const auto* d = std::get_if<double>(&data_)) return *d;
  if (const auto* n = std::get_if<std::int64_t>(&data_)) return static_cast<double>(*n);
  if (const auto* n = std::get_if<std::uint64_t>(&data_)) return static_cast<double>(*n);
  return std::nullopt;
}

const Value* Value::find(std::string_view key) const {
  const Object* object = if_object();
  return object == nullptr ? nullptr : object->find(key);
}

Value* Value::find(std::string_view key) {
  return const_cast<Value*>(std::as_const(*this).find(key));
}

const Value* Value::find_path(std::initializer_list<std::string_view> keys) const {
  const Value* at = this;
  for (const std::string_view key : keys) {
    at = at->find(key);
    if (at == nullptr) return nullptr;
  }
  return at;
}

std::string_view Value::string_at(std::initializer_list<std::string_view> keys) const {
  const Value* value = find_path(keys);
  const std::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : *text;
}

Value& Value::operator[](std::string_view key) {
  if (is_null()) data_ = Object();
  BATON_ASSERT(is_object());
  return (*if_object())[key];
}

void Value::push_back(Value value) {
  if (is_null()) data_ = Array();
  BATON_ASSERT(is_array());
  if_array()->push_back(std::move(value));
}

std::string_view Value::kind_name() const {
  switch (kind()) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return "boolean";
    case Kind::kInt:
    case Kind::kUint:
    case Kind::kDouble:
      return "number";
    case Kind::kString:
      return "string";
    case Kind::kArray:
      return "array";
    case Kind::kObject:
      return "object";
  }
  return "?";
}

bool operator==(const Value& a, const Value& b) {
  if (a.kind() == b.kind()) return a.data_ == b.data_;
  return a.is_number() && b.is_number() && a.if_double() == b.if_double();
}

}  // namespace baton::text::json
