// Tests: "x is name".

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text/jinja/interpreter.hpp"
#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {
namespace {

constexpr auto kTests = std::to_array<std::string_view>(
    {"!=",       "<",        "<=",          "==",       ">",           ">=",       "boolean",
     "callable", "defined",  "divisibleby", "eq",       "equalto",     "escaped",  "even",
     "false",    "filter",   "float",       "ge",       "greaterthan", "gt",       "in",
     "integer",  "iterable", "le",          "lessthan", "lower",       "lt",       "mapping",
     "ne",       "none",     "number",      "odd",      "sameas",      "sequence", "string",
     "test",     "true",     "undefined",   "upper"});

Result<bool> ordered(Interpreter& in, std::string_view name, const Value& a, const Value& b) {
  BATON_TRY_ASSIGN(const int order, in.order(a, b));
  if (name == "<" || name == "lt" || name == "lessthan") return order < 0;
  if (name == "<=" || name == "le") return order <= 0;
  if (name == ">" || name == "gt" || name == "greaterthan") return order > 0;
  return order >= 0;
}

Result<bool> divides(std::string_view name, const Value& v, Int by) {
  Int n = 0;
  if (!v.integral(n))
    return invalid(fmt::format("'{}' takes an integer, not {}", name, type_name(v)));
  if (by == 0) return invalid("division by zero");
  return n % by == 0;
}

bool iterable(const Value& v) {
  return v.undefined() || v.text() != nullptr || v.list() != nullptr || v.dict() != nullptr;
}

Result<bool> with_operand(Interpreter& in, std::string_view name, const Value& v,
                          const Value& other) {
  if (name == "eq" || name == "equalto" || name == "==") return in.equals(v, other);
  if (name == "ne" || name == "!=") {
    BATON_TRY_ASSIGN(const bool same, in.equals(v, other));
    return !same;
  }
  if (name == "in") return contains(in, other, v);
  if (name == "sameas") return v.same(other) ? in.equals(v, other) : Result<bool>(false);
  if (name == "divisibleby") {
    Int by = 0;
    if (!other.integral(by)) return invalid("'divisibleby' takes an integer");
    return divides(name, v, by);
  }
  return ordered(in, name, v, other);
}

}  // namespace

bool callable(const Value& v) {
  const Object* o = v.object();
  return o != nullptr && o->kind != Object::Kind::kNamespace && o->kind != Object::Kind::kCycler;
}

bool is_test(std::string_view name) {
  return std::binary_search(kTests.begin(), kTests.end(), name);
}
std::span<const std::string_view> test_names() { return kTests; }

Result<bool> apply_test(Interpreter& in, std::string_view name, const Value& v, const Args& args) {
  BATON_TRY(in.charge(1));
  if (name == "defined") return !v.undefined();
  if (name == "undefined") return v.undefined();
  if (name == "none") return v.none();
  if (name == "true") return v.get<bool>() != nullptr && *v.get<bool>();
  if (name == "false") return v.get<bool>() != nullptr && !*v.get<bool>();
  if (name == "boolean") return v.get<bool>() != nullptr;
  if (name == "integer") return v.integer() != nullptr;
  if (name == "float") return v.get<double>() != nullptr;
  if (name == "number")
    return v.get<bool>() != nullptr || v.integer() != nullptr || v.get<double>() != nullptr;
  if (name == "string") return v.text() != nullptr;
  if (name == "mapping") return v.dict() != nullptr;
  if (name == "iterable" || name == "sequence") return iterable(v);
  if (name == "callable") return callable(v);
  if (name == "escaped") return v.safe();
  if (name == "lower" || name == "upper") {
    BATON_TRY_ASSIGN(const std::string s, in.shown(v));
    const bool cased = lower(s) != upper(s);
    return cased && (name == "lower" ? lower(s) : upper(s)) == s;
  }
  if (name == "odd") {
    BATON_TRY_ASSIGN(const bool even, divides(name, v, 2));
    return !even;
  }
  if (name == "even") return divides(name, v, 2);
  if (name == "filter") return v.text() != nullptr && is_filter(*v.text());
  if (name == "test") return v.text() != nullptr && is_test(*v.text());
  if (!is_test(name)) return invalid(fmt::format("no test named '{}'", name));
  if (args.positional.size() != 1)
    return invalid(fmt::format("the test '{}' takes one argument", name));
  return with_operand(in, name, v, args.positional[0]);
}

}  // namespace baton::text::jinja
