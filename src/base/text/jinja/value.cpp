#include "base/text/jinja/value.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text/jinja.hpp"
#include "base/text/jinja/interpreter.hpp"

namespace baton::text::jinja {
namespace {

std::size_t depth_of(const Value& v) {
  if (const List* l = v.list()) return l->depth;
  if (const Dict* d = v.dict()) return d->depth;
  return 0;
}

Error too_deep() { return invalid(fmt::format("lists are nested deeper than {}", kMaxNesting)); }

}  // namespace

bool Value::integral(Int& out) const {
  if (const Int* n = get<Int>()) {
    out = *n;
    return true;
  }
  if (const bool* b = get<bool>()) {
    out = *b ? 1 : 0;
    return true;
  }
  return false;
}

bool Value::number(double& out) const {
  if (const double* d = get<double>()) {
    out = *d;
    return true;
  }
  Int n = 0;
  if (!integral(n)) return false;
  out = static_cast<double>(n);
  return true;
}

Result<Value> make_list(std::vector<Value> items, List::Kind kind) {
  std::size_t depth = 0;
  for (const Value& v : items) depth = std::max(depth, depth_of(v));
  if (depth >= kMaxNesting) return too_deep();
  return Value(std::make_shared<const List>(List{kind, std::move(items), depth + 1}));
}

Result<Value> make_dict(std::vector<std::pair<Value, Value>> items) {
  std::size_t depth = 0;
  for (const auto& [k, v] : items) depth = std::max({depth, depth_of(k), depth_of(v)});
  if (depth >= kMaxNesting) return too_deep();
  return Value(std::make_shared<const Dict>(Dict{std::move(items), depth + 1}));
}

Value from_json(const json::Value& value) {
  switch (value.kind()) {
    case json::Kind::kNull:
      return None{};
    case json::Kind::kBool:
      return *value.if_bool();
    case json::Kind::kInt:
      return static_cast<Int>(*value.if_int());
    case json::Kind::kUint:
      return static_cast<Int>(*value.if_uint());
    case json::Kind::kDouble:
      return *value.if_double();
    case json::Kind::kString:
      return *value.if_string();
    case json::Kind::kArray: {
      List out;
      for (const json::Value& item : *value.if_array()) {
        out.items.push_back(from_json(item));
        out.depth = std::max(out.depth, depth_of(out.items.back()) + 1);
      }
      return std::make_shared<const List>(std::move(out));
    }
    case json::Kind::kObject: {
      Dict out;
      for (const auto& [key, member] : *value.if_object()) {
        out.items.emplace_back(Value(key), from_json(member));
        out.depth = std::max(out.depth, depth_of(out.items.back().second) + 1);
      }
      return std::make_shared<const Dict>(std::move(out));
    }
  }
  return {};
}

std::string_view type_name(const Value& v) {
  if (v.undefined()) return "Undefined";
  if (v.none()) return "NoneType";
  if (v.get<bool>() != nullptr) return "bool";
  if (v.integer() != nullptr) return "int";
  if (v.get<double>() != nullptr) return "float";
  if (v.text() != nullptr) return "str";
  if (const List* l = v.list()) return l->kind == List::Kind::kList ? "list" : "tuple";
  if (v.dict() != nullptr) return "dict";
  return v.object()->kind == Object::Kind::kNamespace ? "Namespace" : "function";
}

bool truth(const Value& v) {
  if (v.undefined() || v.none()) return false;
  double n = 0;
  if (v.number(n)) return n != 0;
  if (const std::string* s = v.text()) return !s->empty();
  if (const List* l = v.list()) return !l->items.empty();
  if (const Dict* d = v.dict()) return !d->items.empty();
  return true;
}

Result<int> compare(const Value& a, const Value& b) {
  const auto order = [](const auto& x, const auto& y) { return x < y ? -1 : (y < x ? 1 : 0); };
  Int i = 0;
  Int j = 0;
  if (a.integral(i) && b.integral(j)) return order(i, j);
  double x = 0;
  double y = 0;
  if (a.number(x) && b.number(y)) return order(x, y);
  if (a.text() != nullptr && b.text() != nullptr) return order(*a.text(), *b.text());
  return invalid(fmt::format("'<' not supported between instances of '{}' and '{}'", type_name(a),
                             type_name(b)));
}

const Value* find(const Dict& d, std::string_view key) {
  for (const auto& [k, v] : d.items) {
    if (const std::string* s = k.text(); s != nullptr && *s == key) return &v;
  }
  return nullptr;
}

}  // namespace baton::text::jinja
