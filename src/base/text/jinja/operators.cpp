// Operators, attributes and items, with Python's meaning.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/text/jinja.hpp"
#include "base/text/jinja/interpreter.hpp"
#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {
namespace {

Error mismatch(std::string_view op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b}) {
    if (v->undefined()) return invalid(fmt::format("'{}' is undefined", v->get<Undefined>()->name));
  }
  return invalid(
      fmt::format("no operator {} between '{}' and '{}'", op, type_name(a), type_name(b)));
}

Error overflow() { return invalid("an integer beyond 127 bits"); }

Int floor_div(Int a, Int b) { return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0); }

Result<Value> integers(std::string_view op, Int a, Int b) {
  Int out = 0;
  if (op == "+") return __builtin_add_overflow(a, b, &out) ? Result<Value>(overflow()) : Value(out);
  if (op == "-") return __builtin_sub_overflow(a, b, &out) ? Result<Value>(overflow()) : Value(out);
  if (op == "*") return __builtin_mul_overflow(a, b, &out) ? Result<Value>(overflow()) : Value(out);
  if (op == "**") {
    if (b < 0) return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
    out = 1;
    for (Int i = 0; i < b; ++i) {
      if (i > 200 && (a > 1 || a < -1)) return overflow();
      if (i > 200) {  // 0, 1 and -1
        out = a == -1 ? (b % 2 == 0 ? 1 : -1) : a;
        break;
      }
      if (__builtin_mul_overflow(out, a, &out)) return overflow();
    }
    return Value(out);
  }
  if (b == 0) return invalid("division by zero");
  if (op == "/") return Value(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) return integers(op == "//" ? "-" : "*", Int{0}, a);  // -a, 0
  if (op == "//") return Value(floor_div(a, b));
  return Value(a - floor_div(a, b) * b);
}

Result<Value> floats(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) return invalid("division by zero");
  if (op == "/") return Value(a / b);
  if (op == "//") return Value(std::floor(a / b));
  const double rest = std::fmod(a, b);
  return Value(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
}

Result<Value> repeat(Interpreter& in, const Value& v, Int times) {
  const auto n =
      static_cast<std::size_t>(times<0 ? Int{0} : times>(Int{1} << 40) ? Int{1} << 40 : times);
  if (const std::string* s = v.text()) {
    if (s->empty()) return v;
    BATON_TRY(in.charge(n * (s->size() / 8 + 1)));
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += *s;
    return Value(std::move(out));
  }
  const List& l = *v.list();
  BATON_TRY(in.charge(n * (l.items.size() + 1)));
  std::vector<Value> out;
  for (std::size_t i = 0; i < n; ++i) out.insert(out.end(), l.items.begin(), l.items.end());
  return make_list(std::move(out), l.kind);
}

// Python's slice bounds for a sequence of n items.
struct Range {
  Int from, to, step;
};
Result<Range> bounds(Int n, const Value& from, const Value& to, const Value& step) {
  Range r{0, 0, 1};
  if (!step.none() && !step.integral(r.step)) return invalid("a slice takes integers");
  if (r.step == 0) return invalid("a slice step of zero");
  const bool back = r.step < 0;
  const Int low = back ? -1 : 0;
  const Int high = back ? n - 1 : n;
  r.from = back ? high : low;
  r.to = back ? low : high;
  for (const auto& [given, bound] : {std::pair{&from, &r.from}, std::pair{&to, &r.to}}) {
    if (given->none()) continue;
    Int at = 0;
    if (!given->integral(at)) return invalid("a slice takes integers");
    if (at < 0) at = at < -n ? low : at + n;
    *bound = at < low ? low : at > high ? high : at;
  }
  if (r.step > n + 1) r.step = n + 1;
  if (r.step < -n - 1) r.step = -n - 1;
  return r;
}

template <class Sequence>
Sequence taken(const Sequence& all, const Range& r) {
  Sequence out;
  for (Int i = r.from; r.step > 0 ? i < r.to : i > r.to; i += r.step)
    out.push_back(all[static_cast<std::size_t>(i)]);
  return out;
}

Result<Value> loop_attribute(Interpreter& in, Object& loop, std::string_view name) {
  const std::size_t n = loop.items.size();
  const std::size_t i = loop.position;
  if (name == "index") return Value(i + 1);
  if (name == "index0") return Value(i);
  if (name == "revindex") return Value(n - i);
  if (name == "revindex0") return Value(n - i - 1);
  if (name == "first") return Value(i == 0);
  if (name == "last") return Value(i + 1 == n);
  if (name == "length") return Value(n);
  if (name == "depth") return Value(loop.depth);
  if (name == "depth0") return Value(loop.depth - 1);
  if (name == "previtem") return i == 0 ? Value(Undefined{"loop.previtem"}) : loop.items[i - 1];
  if (name == "nextitem") return i + 1 >= n ? Value(Undefined{"loop.nextitem"}) : loop.items[i + 1];
  if (name == "cycle" || name == "changed") {
    Object* method = in.make(Object::Kind::kMethod, name);
    method->self = Value(&loop);
    return Value(method);
  }
  return Value(Undefined{});
}

Result<Value> object_attribute(Interpreter& in, Object& o, std::string_view name) {
  switch (o.kind) {
    case Object::Kind::kNamespace:
      for (const auto& [key, value] : o.fields) {
        if (key == name) return value;
      }
      return Value(Undefined{});
    case Object::Kind::kLoop:
      return loop_attribute(in, o, name);
    case Object::Kind::kMacro: {
      if (name == "name") return Value(o.name);
      if (name != "arguments") return Value(Undefined{});
      std::vector<Value> names;
      for (const auto& [parameter, unused] : o.stmt->params) names.emplace_back(parameter);
      return make_list(std::move(names), List::Kind::kTuple);
    }
    case Object::Kind::kCycler:
      if (name == "current") return o.items[o.position % o.items.size()];
      break;
    default:
      break;
  }
  if (!is_method(Value(&o), name)) return Value(Undefined{});
  Object* method = in.make(Object::Kind::kMethod, name);
  method->self = Value(&o);
  return Value(method);
}

}  // namespace

Result<Value> binary(Interpreter& in, std::string_view op, const Value& a, const Value& b) {
  Int i = 0;
  Int j = 0;
  const bool left_int = a.integral(i);
  const bool right_int = b.integral(j);
  if (left_int && right_int) return integers(op, i, j);
  double x = 0;
  double y = 0;
  if (a.number(x) && b.number(y)) return floats(op, x, y);
  if (op == "%" && a.text() != nullptr) return printf_style(in, *a.text(), b);
  if (op == "*" && right_int && (a.text() != nullptr || a.list() != nullptr))
    return repeat(in, a, j);
  if (op == "*" && left_int && (b.text() != nullptr || b.list() != nullptr))
    return repeat(in, b, i);
  if (op == "+" && a.text() != nullptr && b.text() != nullptr)
    return in.text(*a.text() + *b.text());
  if (op == "+" && a.list() != nullptr && b.list() != nullptr && type_name(a) == type_name(b)) {
    std::vector<Value> out = a.list()->items;
    out.insert(out.end(), b.list()->items.begin(), b.list()->items.end());
    return in.list(std::move(out), a.list()->kind);
  }
  return mismatch(op, a, b);
}

Result<bool> contains(Interpreter& in, const Value& container, const Value& item) {
  if (const std::string* s = container.text()) {
    if (item.text() == nullptr)
      return invalid(fmt::format("'in <string>' takes a string, not {}", type_name(item)));
    BATON_TRY(in.charge(s->size() / 8));
    return s->find(*item.text()) != std::string::npos;
  }
  if (const Dict* d = container.dict()) {
    BATON_TRY_ASSIGN(const std::size_t at, in.place(d->items, item));
    return at < d->items.size();
  }
  BATON_TRY_ASSIGN(const std::vector<Value> items, in.iterate(container));
  for (const Value& v : items) {
    BATON_TRY_ASSIGN(const bool same, in.equals(v, item));
    if (same) return true;
  }
  return false;
}

Result<Value> slice_of(Interpreter& in, const Value& v, const Value& from, const Value& to,
                       const Value& step) {
  if (const std::string* s = v.text()) {
    BATON_TRY(in.charge(s->size() / 8));
    const std::u32string all = points(*s);
    BATON_TRY_ASSIGN(const Range r, bounds(static_cast<Int>(all.size()), from, to, step));
    return in.text(utf8(taken(all, r)));
  }
  if (const List* l = v.list()) {
    BATON_TRY_ASSIGN(const Range r, bounds(static_cast<Int>(l->items.size()), from, to, step));
    return in.list(taken(l->items, r), l->kind);
  }
  if (v.undefined()) return invalid(fmt::format("'{}' is undefined", v.get<Undefined>()->name));
  return Value();
}

Result<std::vector<Value>> Interpreter::iterate(const Value& v) {
  std::vector<Value> out;
  if (v.undefined()) return out;
  if (const List* l = v.list()) {
    out = l->items;
  } else if (const Dict* d = v.dict()) {
    for (const auto& [key, value] : d->items) out.push_back(key);
  } else if (const std::string* s = v.text()) {
    BATON_TRY(charge(kItemWork * s->size()));
    for (const char32_t p : points(*s)) {
      std::string one;
      append_utf8(one, p);
      out.emplace_back(std::move(one));
    }
  } else {
    return fail(fmt::format("'{}' object is not iterable", type_name(v)));
  }
  BATON_TRY(charge(out.size()));
  return out;
}

Result<Value> Interpreter::attribute(const Value& v, std::string_view name) {
  if (v.undefined()) return fail(fmt::format("'{}' is undefined", v.get<Undefined>()->name));
  if (name.starts_with("__")) return Value(Undefined{});
  if (Object* o = v.object()) return object_attribute(*this, *o, name);
  if (is_method(v, name)) {
    Object* method = make(Object::Kind::kMethod, name);
    method->self = v;
    return Value(method);
  }
  if (const Dict* d = v.dict()) {
    BATON_TRY(charge(d->items.size() / 8));
    const Value* member = find(*d, name);
    return member == nullptr ? Value(Undefined{name}) : *member;
  }
  if (const List* l = v.list(); l != nullptr && l->kind == List::Kind::kGroup) {
    if (name == "grouper") return l->items[0];
    if (name == "list") return l->items[1];
  }
  return Value(Undefined{name});
}

Result<Value> Interpreter::item(const Value& v, const Value& key) {
  if (v.undefined()) return fail(fmt::format("'{}' is undefined", v.get<Undefined>()->name));
  if (const Dict* d = v.dict()) {
    BATON_TRY_ASSIGN(const std::size_t there, place(d->items, key));
    if (there < d->items.size()) return d->items[there].second;
  }
  Int at = 0;
  if (key.integral(at)) {
    if (const List* l = v.list()) {
      const Int n = static_cast<Int>(l->items.size());
      if (at < 0) at += n;
      return at < 0 || at >= n ? Value() : l->items[static_cast<std::size_t>(at)];
    }
    if (const std::string* s = v.text()) {
      BATON_TRY(charge(s->size() / 8));
      const std::u32string all = points(*s);
      const Int n = static_cast<Int>(all.size());
      if (at < 0) at += n;
      return at < 0 || at >= n ? Value() : Value(utf8(all.substr(static_cast<std::size_t>(at), 1)));
    }
  }
  if (const std::string* name = key.text(); name != nullptr && v.dict() == nullptr) {
    BATON_TRY_ASSIGN(Value out, attribute(v, *name));
    return out.undefined() ? Value() : out;
  }
  return Value();
}

Result<bool> Interpreter::equals(const Value& a, const Value& b) {
  BATON_TRY(charge(1));
  double x = 0;
  double y = 0;
  if (Int i = 0, j = 0; a.integral(i) && b.integral(j)) return i == j;
  if (a.number(x) && b.number(y)) return x == y;
  if (!a.same(b)) return false;
  if (const std::string* s = a.text()) {
    if (s->size() != b.text()->size()) return false;
    BATON_TRY(charge(s->size() / kCompared));
    return *s == *b.text();
  }
  if (const List *l = a.list(), *m = b.list(); l != nullptr) {
    if ((l->kind == List::Kind::kList) != (m->kind == List::Kind::kList)) return false;
    bool same = l->items.size() == m->items.size();
    for (std::size_t i = 0; same && i < l->items.size(); ++i) {
      BATON_TRY_ASSIGN(same, equals(l->items[i], m->items[i]));
    }
    return same;
  }
  if (const Dict *d = a.dict(), *e = b.dict(); d != nullptr) {
    bool same = d->items.size() == e->items.size();
    for (std::size_t i = 0; same && i < d->items.size(); ++i) {
      BATON_TRY_ASSIGN(const std::size_t at, place(e->items, d->items[i].first));
      if (at == e->items.size()) return false;
      BATON_TRY_ASSIGN(same, equals(d->items[i].second, e->items[at].second));
    }
    return same;
  }
  return a.undefined() || a.none() || a.object() == b.object();
}

Result<int> Interpreter::order(const Value& a, const Value& b) {
  BATON_TRY(charge(1));
  if (a.text() != nullptr && b.text() != nullptr) {
    BATON_TRY(charge(std::min(a.text()->size(), b.text()->size()) / kCompared));
  }
  const List* l = a.list();
  const List* m = b.list();
  if (l == nullptr || m == nullptr || type_name(a) != type_name(b)) return compare(a, b);
  for (std::size_t i = 0; i < std::min(l->items.size(), m->items.size()); ++i) {
    BATON_TRY_ASSIGN(const bool same, equals(l->items[i], m->items[i]));
    if (!same) return order(l->items[i], m->items[i]);
  }
  return compare(Value(l->items.size()), Value(m->items.size()));
}

Result<std::size_t> Interpreter::place(const Items& items, const Value& key) {
  BATON_TRY(charge(items.size() / 8));
  const std::string* wanted = key.text();
  for (std::size_t at = 0; at < items.size(); ++at) {
    const std::string* there = items[at].first.text();
    bool same = false;
    if (wanted == nullptr || there == nullptr) {
      BATON_TRY_ASSIGN(same, equals(items[at].first, key));
    } else if (there->size() == wanted->size()) {
      BATON_TRY(charge(wanted->size() / kCompared));
      same = *there == *wanted;
    }
    if (same) return at;
  }
  return items.size();
}

Result<Value> Interpreter::path(const Value& v, const Value& path) {
  if (path.text() == nullptr) return item(v, path);
  Value at = v;
  std::string_view rest = *path.text();
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    const bool index = !part.empty() && part.size() < 10 &&
                       part.find_first_not_of("0123456789") == std::string::npos;
    if (at.undefined()) return Value();
    BATON_TRY_ASSIGN(at, item(at, index ? Value(std::stoi(part)) : Value(part)));
    if (dot == std::string_view::npos) return at.undefined() ? Value() : at;
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace baton::text::jinja
