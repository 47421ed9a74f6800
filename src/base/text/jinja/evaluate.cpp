// Expressions: the other half of Interpreter.

#include <fmt/format.h>

#include "base/text/jinja.hpp"
#include "base/text/jinja/interpreter.hpp"
#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {

using E = Expr::Kind;

Result<Value> Interpreter::eval(const Expr& e) {
  line_ = e.line;
  BATON_TRY(charge(1));
  if (nesting_ >= kMaxNesting * 4) return exhausted("the template recurses too deep");
  ++nesting_;
  auto out = eval_node(e);
  --nesting_;
  return out;
}

Result<Value> Interpreter::eval_node(const Expr& e) {
  switch (e.kind) {
    case E::kConst:
      return e.value;
    case E::kName:
      return lookup(e.text);
    case E::kList:
    case E::kTuple: {
      std::vector<Value> items;
      for (const ExprPtr& arg : e.args) {
        BATON_TRY_ASSIGN(Value v, eval(*arg));
        items.push_back(std::move(v));
      }
      return list(std::move(items), e.kind == E::kList ? List::Kind::kList : List::Kind::kTuple);
    }
    case E::kDict: {
      Items items;
      for (std::size_t i = 0; i < e.args.size(); i += 2) {
        BATON_TRY_ASSIGN(Value key, eval(*e.args[i]));
        BATON_TRY_ASSIGN(Value value, eval(*e.args[i + 1]));
        if (key.dict() != nullptr ||
            (key.list() != nullptr && key.list()->kind == List::Kind::kList)) {
          return fail(fmt::format("a {} cannot be a key", type_name(key)));
        }
        BATON_TRY(put(items, std::move(key), std::move(value)));
      }
      BATON_TRY(charge(items.size()));
      return make_dict(std::move(items));
    }
    case E::kUnary: {
      BATON_TRY_ASSIGN(const Value v, eval(*e.args[0]));
      if (e.text == "not") return Value(!truth(v));
      Int n = 0;
      if (v.integral(n)) {
        if (e.text == "-" && __builtin_sub_overflow(Int{0}, n, &n))
          return fail("an integer beyond 127 bits");
        return Value(n);
      }
      if (const double* d = v.get<double>()) return Value(e.text == "-" ? -*d : *d);
      if (v.undefined()) return fail(fmt::format("'{}' is undefined", v.get<Undefined>()->name));
      return fail(fmt::format("a {} has no sign", type_name(v)));
    }
    case E::kBinary: {
      BATON_TRY_ASSIGN(const Value a, eval(*e.args[0]));
      BATON_TRY_ASSIGN(const Value b, eval(*e.args[1]));
      return binary(*this, e.text, a, b);
    }
    case E::kCompare:
      return compare_chain(e);
    case E::kAnd:
    case E::kOr: {
      BATON_TRY_ASSIGN(Value a, eval(*e.args[0]));
      if (truth(a) == (e.kind == E::kOr)) return a;
      return eval(*e.args[1]);
    }
    case E::kConcat: {
      Draft out(room());
      for (const ExprPtr& arg : e.args) {
        BATON_TRY_ASSIGN(const Value v, eval(*arg));
        BATON_TRY(add(out, v));
      }
      return text(out.take());
    }
    case E::kIf: {
      BATON_TRY_ASSIGN(const Value test, eval(*e.args[1]));
      if (truth(test)) return eval(*e.args[0]);
      return e.args[2] == nullptr ? Result<Value>(Value()) : eval(*e.args[2]);
    }
    case E::kAttr: {
      BATON_TRY_ASSIGN(const Value v, eval(*e.args[0]));
      return attribute(v, e.text);
    }
    case E::kItem: {
      BATON_TRY_ASSIGN(const Value v, eval(*e.args[0]));
      if (e.args[1]->kind == E::kSlice) return slice(v, *e.args[1]);
      BATON_TRY_ASSIGN(const Value key, eval(*e.args[1]));
      return item(v, key);
    }
    case E::kSlice:
      return fail("a slice stands only alone in brackets");
    case E::kCall:
      return call_expression(e, nullptr);
    case E::kFilter: {
      BATON_TRY_ASSIGN(const Value input, eval(*e.args[0]));
      BATON_TRY_ASSIGN(const Args args, arguments(e));
      return apply_filter(*this, e.text, input, args);
    }
    case E::kTest: {
      BATON_TRY_ASSIGN(const Value input, eval(*e.args[0]));
      BATON_TRY_ASSIGN(const Args args, arguments(e));
      BATON_TRY_ASSIGN(const bool yes, apply_test(*this, e.text, input, args));
      return Value(yes);
    }
  }
  return Value();
}

Result<Value> Interpreter::compare_chain(const Expr& e) {
  BATON_TRY_ASSIGN(Value left, eval(*e.args[0]));
  for (std::size_t i = 0; i < e.texts.size(); ++i) {
    BATON_TRY_ASSIGN(Value right, eval(*e.args[i + 1]));
    const std::string& op = e.texts[i];
    bool yes = false;
    if (op == "==" || op == "!=") {
      BATON_TRY_ASSIGN(const bool same, equals(left, right));
      yes = same == (op == "==");
    } else if (op == "in" || op == "not in") {
      BATON_TRY_ASSIGN(const bool in, contains(*this, right, left));
      yes = in == (op == "in");
    } else {
      BATON_TRY_ASSIGN(const int by, order(left, right));
      yes = op == "<" ? by < 0 : op == "<=" ? by <= 0 : op == ">" ? by > 0 : by >= 0;
    }
    if (!yes) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Status Interpreter::put(Items& items, Value key, Value value) {
  BATON_TRY_ASSIGN(const std::size_t at, place(items, key));
  if (at < items.size()) {
    items[at].second = std::move(value);
  } else {
    items.emplace_back(std::move(key), std::move(value));
  }
  return {};
}

Result<Value> Interpreter::slice(const Value& v, const Expr& s) {
  Value parts[3] = {None{}, None{}, None{}};
  for (std::size_t i = 0; i < 3; ++i) {
    if (s.args[i] == nullptr) continue;
    BATON_TRY_ASSIGN(parts[i], eval(*s.args[i]));
  }
  return slice_of(*this, v, parts[0], parts[1], parts[2]);
}

Result<Args> Interpreter::arguments(const Expr& e) {
  Args args;
  for (std::size_t i = 1; i < e.args.size(); ++i) {
    BATON_TRY_ASSIGN(Value v, eval(*e.args[i]));
    args.positional.push_back(std::move(v));
  }
  for (const auto& [key, value] : e.kwargs) {
    BATON_TRY_ASSIGN(Value v, eval(*value));
    args.named.emplace_back(key, std::move(v));
  }
  if (e.spread_args != nullptr) {
    BATON_TRY_ASSIGN(const Value more, eval(*e.spread_args));
    BATON_TRY_ASSIGN(const std::vector<Value> items, iterate(more));
    args.positional.insert(args.positional.end(), items.begin(), items.end());
  }
  if (e.spread_kwargs != nullptr) {
    BATON_TRY_ASSIGN(const Value more, eval(*e.spread_kwargs));
    if (more.dict() == nullptr) return fail("** needs a mapping");
    for (const auto& [key, value] : more.dict()->items) {
      if (key.text() == nullptr) return fail("** needs keys that are strings");
      Object* holder = make(Object::Kind::kFunction, *key.text());  // keeps the name alive
      args.named.emplace_back(holder->name, value);
    }
  }
  return args;
}

Result<Value> Interpreter::call_expression(const Expr& e, const Value* caller) {
  const Expr& callee = *e.args[0];
  if (callee.kind == E::kAttr && caller == nullptr) {
    // A method call needs no method object.
    BATON_TRY_ASSIGN(const Value self, eval(*callee.args[0]));
    if (is_method(self, callee.text)) {
      BATON_TRY_ASSIGN(const Args args, arguments(e));
      return call_method(*this, self, callee.text, args);
    }
    BATON_TRY_ASSIGN(const Value function, attribute(self, callee.text));
    BATON_TRY_ASSIGN(const Args args, arguments(e));
    if (function.undefined()) {
      return fail(fmt::format("'{}' has no method '{}'", type_name(self), callee.text));
    }
    return call(function, args);
  }
  BATON_TRY_ASSIGN(const Value function, eval(callee));
  BATON_TRY_ASSIGN(Args args, arguments(e));
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
  if (function.undefined())
    return fail(fmt::format("'{}' is undefined", function.get<Undefined>()->name));
  return call(function, args);
}

Result<Value> Interpreter::call(const Value& callee, const Args& args) {
  Object* o = callee.object();
  if (o == nullptr) return fail(fmt::format("a {} cannot be called", type_name(callee)));
  switch (o->kind) {
    case Object::Kind::kMacro:
      return call_macro(*o, args);
    case Object::Kind::kMethod:
      return call_method(*this, o->self, o->name, args);
    case Object::Kind::kFunction:
      return call_function(*o, args);
    case Object::Kind::kJoiner:
      return o->position++ == 0 ? Value("") : o->self;
    case Object::Kind::kLoop: {
      if (!o->stmt->recursive) return fail("'loop' is called, but its for has no 'recursive'");
      if (args.positional.size() != 1) return fail("loop() takes what to iterate over");
      if (++calls_ > kMaxCalls)
        return exhausted(fmt::format("loops recurse deeper than {}", kMaxCalls));
      std::string before = std::exchange(out_, {});
      Scope* const outer = std::exchange(scope_, o->scope);
      Flow flow = Flow::kNext;
      BATON_TRY(for_loop(*o->stmt, args.positional[0], o->depth + 1, flow));
      scope_ = outer;
      --calls_;
      return text(std::exchange(out_, std::move(before)));
    }
    default:
      return fail(fmt::format("a {} cannot be called", type_name(callee)));
  }
}

Result<Value> Interpreter::call_function(Object& f, const Args& args) {
  const auto& given = args.positional;
  if (f.name == "raise_exception") {
    BATON_TRY_ASSIGN(std::string why, shown(given.empty() ? Value() : given[0]));
    return raise(std::move(why));
  }
  if (f.name == "strftime_now") {
    const std::string* format = given.empty() ? nullptr : given[0].text();
    if (format == nullptr || format->size() > 1024) return fail("strftime_now takes a format");
    char buffer[8192];
    return text(std::string(buffer, std::strftime(buffer, sizeof buffer, format->c_str(), &now_)));
  }
  if (f.name == "namespace" || f.name == "dict") {
    Items items;
    if (!given.empty() && given[0].dict() != nullptr) {
      items = given[0].dict()->items;
    } else if (!given.empty()) {
      BATON_TRY_ASSIGN(const std::vector<Value> pairs, iterate(given[0]));
      for (const Value& pair : pairs) {
        BATON_TRY_ASSIGN(const std::vector<Value> two, iterate(pair));
        if (two.size() != 2) return fail("dict() takes pairs");
        BATON_TRY(put(items, two[0], two[1]));
      }
    }
    for (const auto& [key, value] : args.named) {
      BATON_TRY(put(items, Value(key), value));
    }
    BATON_TRY(charge(items.size()));
    if (f.name == "dict") return make_dict(std::move(items));
    Object* ns = make(Object::Kind::kNamespace, "namespace");
    for (auto& [key, value] : items) {
      BATON_TRY_ASSIGN(std::string name, shown(key));
      ns->fields.emplace_back(std::move(name), std::move(value));
    }
    return Value(ns);
  }
  if (f.name == "cycler") {
    if (given.empty()) return fail("cycler() takes at least one item");
    Object* cycler = make(Object::Kind::kCycler, "cycler");
    cycler->items = given;
    return Value(cycler);
  }
  if (f.name == "joiner") {
    Object* joiner = make(Object::Kind::kJoiner, "joiner");
    joiner->self = given.empty() ? Value(", ") : given[0];
    return Value(joiner);
  }
  // range
  Int bounds[3] = {0, 0, 1};
  if (given.empty() || given.size() > 3) return fail("range() takes 1 to 3 integers");
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (!given[i].integral(bounds[given.size() == 1 ? 1 : i]))
      return fail("range() takes integers");
  }
  constexpr Int kMaxBound = Int{1} << 62;
  for (const Int bound : bounds) {
    if (bound > kMaxBound || bound < -kMaxBound) return fail("range() bounds are beyond 62 bits");
  }
  if (bounds[2] == 0) return fail("range() step must not be zero");
  constexpr Int kMaxRange = 100'000;  // as jinja2's sandbox
  std::vector<Value> items;
  for (Int i = bounds[0]; bounds[2] > 0 ? i < bounds[1] : i > bounds[1]; i += bounds[2]) {
    if (items.size() >= kMaxRange) return fail("a range of more than 100000");
    items.emplace_back(i);
  }
  return list(std::move(items));
}

}  // namespace baton::text::jinja
