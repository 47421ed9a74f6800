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

bool equal(const Value& a, const Value& b) {
  Int i = 0;
  Int j = 0;
  if (a.integral(i) && b.integral(j)) return i == j;
  double x = 0;
  double y = 0;
  if (a.number(x) && b.number(y)) return x == y;
  if (!a.same(b)) return false;
  if (a.undefined() || a.none()) return true;
  if (const std::string* s = a.text()) return *s == *b.text();
  if (const List* l = a.list()) {
    return (l->kind == List::Kind::kList) == (b.list()->kind == List::Kind::kList) &&
           std::equal(l->items.begin(), l->items.end(), b.list()->items.begin(),
                      b.list()->items.end(), equal);
  }
  if (const Dict* d = a.dict()) {
    return d->items.size() == b.dict()->items.size() &&
           std::all_of(d->items.begin(), d->items.end(), [&](const auto& item) {
             const Value* other = find(*b.dict(), item.first);
             return other != nullptr && equal(item.second, *other);
           });
  }
  return a.object() == b.object();
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
  if (const List *l = a.list(), *m = b.list();
      l != nullptr && m != nullptr && type_name(a) == type_name(b)) {
    for (std::size_t k = 0; k < std::min(l->items.size(), m->items.size()); ++k) {
      if (equal(l->items[k], m->items[k])) continue;
      return compare(l->items[k], m->items[k]);
    }
    return order(l->items.size(), m->items.size());
  }
  return invalid(fmt::format("'<' not supported between instances of '{}' and '{}'", type_name(a),
                             type_name(b)));
}

const Value* find(const Dict& d, const Value& key) {
  for (const auto& [k, v] : d.items) {
    if (equal(k, key)) return &v;
  }
  return nullptr;
}

const Value* find(const Dict& d, std::string_view key) {
  for (const auto& [k, v] : d.items) {
    if (const std::string* s = k.text(); s != nullptr && *s == key) return &v;
  }
  return nullptr;
}

}  // namespace baton::text::jinja
