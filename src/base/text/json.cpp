#include "base/text/json.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/core/assert.hpp"

namespace baton::text::json {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

// Up to here each key is compared with those before it; above, all are sorted once.
constexpr std::size_t kFewMembers = 16;

Result<Value> convert(const element& e, Duplicates duplicates) {
  switch (e.type()) {
    case element_type::NULL_VALUE:
      return Value();
    case element_type::BOOL:
      return Value(e.get_bool().value_unsafe());
    case element_type::INT64:
      return Value(e.get_int64().value_unsafe());
    case element_type::UINT64:
      return Value(e.get_uint64().value_unsafe());
    case element_type::DOUBLE:
      return Value(e.get_double().value_unsafe());
    case element_type::STRING:
      return Value(std::string(e.get_string().value_unsafe()));
    case element_type::ARRAY: {
      Array out;
      const simdjson::dom::array items = e.get_array().value_unsafe();
      out.reserve(items.size());
      for (const element item : items) {
        BATON_TRY_ASSIGN(Value value, convert(item, duplicates));
        out.push_back(std::move(value));
      }
      return Value(std::move(out));
    }
    case element_type::OBJECT: {
      Object out;
      const simdjson::dom::object members = e.get_object().value_unsafe();
      out.reserve(members.size());
      std::vector<std::string_view> keys;
      const bool few = members.size() <= kFewMembers;
      for (const auto member : members) {
        BATON_TRY_ASSIGN(Value value, convert(member.value, duplicates));
        if (!few) keys.push_back(member.key);
        Value* const before = few ? out.find(member.key) : nullptr;
        if (before == nullptr) {
          out.append(std::string(member.key), std::move(value));
        } else if (duplicates == Duplicates::kReject) {
          return invalid(fmt::format("duplicate key '{}'", std::string_view(member.key)));
        } else {
          *before = std::move(value);
        }
      }
      std::sort(keys.begin(), keys.end());
      const auto twice = std::adjacent_find(keys.begin(), keys.end());
      if (twice == keys.end()) return Value(std::move(out));
      if (duplicates == Duplicates::kReject)
        return invalid(fmt::format("duplicate key '{}'", *twice));
      Object last;
      for (auto& [key, value] : out) last.set(key, std::move(value));
      return Value(std::move(last));
    }
  }
  return internal("unknown JSON element");
}

void append_double(std::string& out, double d) {
  if (!std::isfinite(d)) {
    out += "null";  // as JSON.stringify does
    return;
  }
  const std::size_t start = out.size();
  fmt::format_to(std::back_inserter(out), "{}", d);
  if (std::string_view(out).substr(start).find_first_of(".e") == std::string_view::npos)
    out += ".0";
}

void append_pretty(std::string& out, const Value& value, std::size_t depth) {
  const auto newline = [&](std::size_t levels) {
    out += '\n';
    out.append(levels * 2, ' ');
  };
  if (const Array* array = value.if_array(); array != nullptr && !array->empty()) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out += ',';
      newline(depth + 1);
      append_pretty(out, (*array)[i], depth + 1);
    }
    newline(depth);
    out += ']';
  } else if (const Object* object = value.if_object(); object != nullptr && !object->empty()) {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : *object) {
      if (!std::exchange(first, false)) out += ',';
      newline(depth + 1);
      append_quoted(out, key);
      out += ": ";
      append_pretty(out, member, depth + 1);
    }
    newline(depth);
    out += '}';
  } else {
    append(out, value);
  }
}

}  // namespace

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

Result<Value> parse(std::string_view text, Duplicates duplicates) {
  if (text.size() > kMaxText) {
    return invalid(
        fmt::format("JSON text of {} bytes is over the limit of {}", text.size(), kMaxText));
  }
  simdjson::dom::parser parser;
  if (const auto e = parser.allocate(text.size(), kMaxDepth)) {
    return exhausted(simdjson::error_message(e));
  }
  element root;
  if (const auto e = parser.parse(text.data(), text.size()).get(root)) {
    return invalid(fmt::format("not JSON: {}", simdjson::error_message(e)));
  }
  return convert(root, duplicates);
}

Keep Keep::only(const std::vector<std::string_view>& paths) {
  Keep out;
  for (const auto path : paths) out.insert(path);
  return out;
}

Keep Keep::all_but(const std::vector<std::string_view>& paths) {
  Keep out = only(paths);
  out.listed_ = Listed::kDropped;
  return out;
}

void Keep::insert(std::string_view path) {
  std::vector<Node>* level = &roots_;
  std::string name;
  // False when an earlier path stands for all that is below.
  const auto descend = [&](bool last) {
    auto at = std::find_if(level->begin(), level->end(),
                           [&](const Node& node) { return node.name == name; });
    const bool known = at != level->end();
    if (!known) at = level->insert(level->end(), Node{name, {}});
    if (last) at->members.clear();
    level = &at->members;
    name.clear();
    return !known || !level->empty();
  };
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' && i + 1 < path.size()) {
      name += path[++i];
    } else if (path[i] != '.') {
      name += path[i];
    } else if (!descend(false)) {
      return;
    }
  }
  descend(true);
}

struct Parser::Impl {
  simdjson::dom::parser parser;

  // The root stays valid until the next load.
  Result<element> load(std::string_view text) {
    if (text.size() > kMaxText) {
      return invalid(
          fmt::format("JSON text of {} bytes is over the limit of {}", text.size(), kMaxText));
    }
    if (parser.capacity() < text.size() || parser.max_depth() != kMaxDepth) {
      if (const auto e = parser.allocate(text.size(), kMaxDepth)) {
        return exhausted(simdjson::error_message(e));
      }
    }
    element root;
    if (const auto e = parser.parse(text.data(), text.size()).get(root)) {
      return invalid(fmt::format("not JSON: {}", simdjson::error_message(e)));
    }
    return root;
  }

  static Result<Value> kept(const element& e, const Keep* keep) {
    return keep == nullptr ? convert(e, Duplicates::kKeepLast)
                           : pruned(e, keep->roots_, keep->listed_);
  }

  static Result<Value> pruned(const element& e, const std::vector<Keep::Node>& nodes,
                              Keep::Listed listed) {
    if (e.type() == element_type::ARRAY) {
      Array out;
      const simdjson::dom::array items = e.get_array().value_unsafe();
      out.reserve(items.size());
      for (const element item : items) {
        BATON_TRY_ASSIGN(Value value, pruned(item, nodes, listed));
        out.push_back(std::move(value));
      }
      return Value(std::move(out));
    }
    if (e.type() != element_type::OBJECT) return convert(e, Duplicates::kKeepLast);
    Object out;
    for (const auto member : simdjson::dom::object(e.get_object().value_unsafe())) {
      const auto node = std::find_if(nodes.begin(), nodes.end(),
                                     [&](const Keep::Node& n) { return n.name == member.key; });
      const bool whole = node != nodes.end() && node->members.empty();
      if (listed == Keep::Listed::kKept ? node == nodes.end() : whole) continue;
      BATON_TRY_ASSIGN(Value value, whole || node == nodes.end()
                                        ? convert(member.value, Duplicates::kKeepLast)
                                        : pruned(member.value, node->members, listed));
      out.set(member.key, std::move(value));
    }
    return Value(std::move(out));
  }
};

Parser::Parser() : impl_(std::make_unique<Impl>()) {}
Parser::~Parser() = default;

Result<Value> Parser::parse(std::string_view text, const Keep* keep) {
  BATON_TRY_ASSIGN(const element root, impl_->load(text));
  return Impl::kept(root, keep);
}

Result<Value> Parser::parse_around(std::string_view text, std::string_view name, const Keep* keep) {
  BATON_TRY_ASSIGN(const element root, impl_->load(text));
  if (root.type() != element_type::OBJECT) return convert(root, Duplicates::kKeepLast);
  Object out;
  for (const auto member : simdjson::dom::object(root.get_object().value_unsafe())) {
    BATON_TRY_ASSIGN(Value value, Impl::kept(member.value, member.key == name ? keep : nullptr));
    out.set(member.key, std::move(value));
  }
  return Value(std::move(out));
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  std::size_t plain_from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, plain_from, i - plain_from);
    plain_from = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
    }
  }
  out.append(text, plain_from);
  out += '"';
}

void append(std::string& out, const Value& value) {
  switch (value.kind()) {
    case Kind::kNull:
      out += "null";
      break;
    case Kind::kBool:
      out += *value.if_bool() ? "true" : "false";
      break;
    case Kind::kInt:
      fmt::format_to(std::back_inserter(out), "{}", *value.if_int());
      break;
    case Kind::kUint:
      fmt::format_to(std::back_inserter(out), "{}", *value.if_uint());
      break;
    case Kind::kDouble:
      append_double(out, *value.if_double());
      break;
    case Kind::kString:
      append_quoted(out, *value.if_string());
      break;
    case Kind::kArray: {
      out += '[';
      bool first = true;
      for (const Value& item : *value.if_array()) {
        if (!std::exchange(first, false)) out += ',';
        append(out, item);
      }
      out += ']';
      break;
    }
    case Kind::kObject: {
      out += '{';
      bool first = true;
      for (const auto& [key, member] : *value.if_object()) {
        if (!std::exchange(first, false)) out += ',';
        append_quoted(out, key);
        out += ':';
        append(out, member);
      }
      out += '}';
      break;
    }
  }
}

std::string dump(const Value& value) {
  std::string out;
  append(out, value);
  return out;
}

std::string pretty(const Value& value) {
  std::string out;
  append_pretty(out, value, 0);
  return out + '\n';
}

std::string pointer(std::string_view base, std::string_view key) {
  std::string out(base);
  out += '/';
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string pointer(std::string_view base, std::size_t index) {
  return fmt::format("{}/{}", base, index);
}

}  // namespace baton::text::json
