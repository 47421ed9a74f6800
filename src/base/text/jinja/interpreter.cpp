#include "base/text/jinja/interpreter.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/jinja.hpp"
#include "base/text/jinja/lexer.hpp"
#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {

const Value* Args::get(std::size_t index, std::string_view name) const {
  if (index < positional.size()) return &positional[index];
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

bool Args::flag(std::size_t index, std::string_view name, bool otherwise) const {
  const Value* v = get(index, name);
  return v == nullptr ? otherwise : truth(*v);
}

Error Interpreter::fail(std::string_view what) const { return invalid(std::string(what)); }

Error Interpreter::raise(std::string text) {
  raised_ = true;
  return invalid(std::move(text));
}

Status Interpreter::charge(std::size_t work) {
  work_ += work;
  if (work_ > kMaxWork)
    return exhausted(fmt::format("the template does more than {} steps", kMaxWork));
  return {};
}

Result<Value> Interpreter::text(std::string s) {
  BATON_TRY(charge(s.size() / 8));
  return Value(std::move(s));
}

std::size_t Interpreter::room() const {
  return work_ >= kMaxWork ? 0 : std::min(kMaxOutput, (kMaxWork - work_) * 8);
}

Result<std::string> Interpreter::shown(const Value& v) {
  BATON_TRY_ASSIGN(std::string s, str(v, room()));
  BATON_TRY(charge(s.size() / 8));
  return s;
}

Status Interpreter::add(Draft& draft, const Value& v) {
  if (const std::string* s = v.text()) return draft.put(*s);
  BATON_TRY_ASSIGN(const std::string piece, shown(v));
  return draft.put(piece);
}

Result<Value> Interpreter::list(std::vector<Value> items, List::Kind kind) {
  BATON_TRY(charge(items.size()));
  return make_list(std::move(items), kind);
}

Object* Interpreter::make(Object::Kind kind, std::string_view name) {
  work_ += sizeof(Object) / 8;  // kept to the end; the next charge refuses
  Object& o = objects_.emplace_back();
  o.kind = kind;
  o.name = name;
  return &o;
}

Result<std::string> Interpreter::render(const Program& program, const json::Object& context) {
  Scope& globals = scopes_.emplace_back();
  for (const std::string_view name :
       {"range", "dict", "namespace", "raise_exception", "strftime_now", "cycler", "joiner"}) {
    globals.names.emplace_back(name, Value(make(Object::Kind::kFunction, name)));
  }
  Scope& given = scopes_.emplace_back();
  given.parent = &globals;
  for (const auto& [key, value] : context) given.names.emplace_back(key, from_json(value));
  scope_ = &scopes_.emplace_back();
  scope_->parent = &given;
  auto flow = run(program.body);
  if (flow) return std::move(out_);
  Error error = std::move(flow).error();
  if (raised_) return error;
  return std::move(error).with(fmt::format("line {}", line_));
}

Status Interpreter::print(const Value& v) {
  const bool escapes = escape_ && !v.safe();
  if (const std::string* s = v.text(); s != nullptr && !escapes) return write(*s);
  BATON_TRY_ASSIGN(const std::string s, shown(v));
  return write(escapes ? escape(s) : s);
}

// Charged as well as bounded: macros and blocks within each other have an output each.
Status Interpreter::write(std::string_view piece) {
  BATON_TRY(charge(piece.size() / 8));
  if (piece.size() > kMaxOutput - out_.size())
    return exhausted(fmt::format("the output is over {} bytes", kMaxOutput));
  out_ += piece;
  return {};
}

Result<Interpreter::Flow> Interpreter::run(const Body& body) {
  if (nesting_ >= kMaxNesting * 4) return exhausted("the template recurses too deep");
  ++nesting_;
  Flow flow = Flow::kNext;
  for (const Stmt& s : body) {
    BATON_TRY_ASSIGN(flow, run(s));
    if (flow != Flow::kNext) break;
  }
  --nesting_;
  return flow;
}

Result<Interpreter::Flow> Interpreter::run(const Stmt& s) {
  line_ = s.line;
  BATON_TRY(charge(1));
  switch (s.kind) {
    case Stmt::Kind::kData: {
      BATON_TRY(write(s.text));
      return Flow::kNext;
    }
    case Stmt::Kind::kPrint: {
      BATON_TRY_ASSIGN(const Value v, eval(*s.expr));
      BATON_TRY(print(v));
      return Flow::kNext;
    }
    case Stmt::Kind::kFor: {
      BATON_TRY_ASSIGN(const Value over, eval(*s.expr));
      Flow flow = Flow::kNext;
      BATON_TRY(for_loop(s, over, 1, flow));
      return flow;
    }
    case Stmt::Kind::kIf: {
      BATON_TRY_ASSIGN(const Value test, eval(*s.test));
      return run(truth(test) ? s.body : s.other);
    }
    case Stmt::Kind::kSet: {
      BATON_TRY_ASSIGN(const Value v, eval(*s.expr));
      BATON_TRY(assign(*s.target, v));
      return Flow::kNext;
    }
    case Stmt::Kind::kSetBlock: {
      BATON_TRY_ASSIGN(Value v, captured(s.body));
      BATON_TRY_ASSIGN(v, filtered(s.expr.get(), std::move(v)));
      BATON_TRY(assign(*s.target, v));
      return Flow::kNext;
    }
    case Stmt::Kind::kMacro: {
      Object* macro = make(Object::Kind::kMacro, s.text);
      macro->stmt = &s;
      macro->scope = scope_;
      bind(s.text, Value(macro));
      return Flow::kNext;
    }
    case Stmt::Kind::kCall: {
      BATON_TRY(call_block(s));
      return Flow::kNext;
    }
    case Stmt::Kind::kFilter: {
      BATON_TRY_ASSIGN(Value v, captured(s.body));
      BATON_TRY_ASSIGN(v, filtered(s.expr.get(), std::move(v)));
      BATON_TRY(print(v));
      return Flow::kNext;
    }
    case Stmt::Kind::kWith:
    case Stmt::Kind::kScope:
      return scoped(s, false);
    case Stmt::Kind::kEscape:
      return scoped(s, true);
    case Stmt::Kind::kBreak:
      return Flow::kBreak;
    case Stmt::Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::scoped(const Stmt& s, bool escape) {
  Scope& inner = scopes_.emplace_back();
  inner.parent = scope_;
  Scope* const outer = scope_;
  const bool escaped = escape_;
  std::vector<Value> values;
  for (const auto& [target, value] : s.pairs) {
    BATON_TRY_ASSIGN(Value v, eval(*value));
    values.push_back(std::move(v));
  }
  scope_ = &inner;
  for (std::size_t i = 0; i < values.size(); ++i) {
    BATON_TRY(assign(*s.pairs[i].first, values[i]));
  }
  if (s.kind != Stmt::Kind::kWith) escape_ = escape;
  auto flow = run(s.body);
  scope_ = outer;
  escape_ = escaped;
  return flow;
}

Result<Value> Interpreter::captured(const Body& body) {
  Scope& inner = scopes_.emplace_back();
  inner.parent = scope_;
  Scope* const outer = std::exchange(scope_, &inner);
  std::string before = std::exchange(out_, {});
  BATON_TRY(run(body));
  scope_ = outer;
  std::string made = std::exchange(out_, std::move(before));
  BATON_TRY(charge(made.size() / 8));
  return Value(std::move(made), escape_);
}

Result<Value> Interpreter::filtered(const Expr* chain, Value input) {
  if (chain == nullptr) return input;
  BATON_TRY_ASSIGN(Value inner, filtered(chain->args[0].get(), std::move(input)));
  BATON_TRY_ASSIGN(const Args args, arguments(*chain));
  return apply_filter(*this, chain->text, inner, args);
}

Status Interpreter::for_loop(const Stmt& s, const Value& over, std::size_t depth, Flow& flow) {
  BATON_TRY_ASSIGN(std::vector<Value> items, iterate(over));
  Scope& inner = scopes_.emplace_back();
  inner.parent = scope_;
  Scope* const outer = std::exchange(scope_, &inner);
  if (s.test != nullptr) {
    std::vector<Value> kept;
    for (Value& v : items) {
      inner.names.clear();
      BATON_TRY(assign(*s.target, v));
      BATON_TRY_ASSIGN(const Value keep, eval(*s.test));
      if (truth(keep)) kept.push_back(std::move(v));
    }
    items = std::move(kept);
  }
  Object* loop = make(Object::Kind::kLoop, "loop");
  loop->stmt = &s;
  loop->scope = outer;
  loop->items = std::move(items);
  loop->depth = depth;
  BATON_TRY(iterations(s, *loop));
  inner.names.clear();
  scope_ = outer;
  if (loop->items.empty()) {
    BATON_TRY_ASSIGN(flow, run(s.other));
  }
  return {};
}

Result<Interpreter::Flow> Interpreter::iterations(const Stmt& s, Object& loop) {
  Scope& scope = *scope_;
  for (loop.position = 0; loop.position < loop.items.size(); ++loop.position) {
    scope.names.clear();
    scope.names.emplace_back("loop", Value(&loop));
    BATON_TRY(assign(*s.target, loop.items[loop.position]));
    BATON_TRY_ASSIGN(const Flow flow, run(s.body));
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Status Interpreter::call_block(const Stmt& s) {
  Object* caller = make(Object::Kind::kMacro, "caller");
  caller->stmt = &s;
  caller->scope = scope_;
  const Value value(caller);
  BATON_TRY_ASSIGN(const Value v, call_expression(*s.expr, &value));
  return print(v);
}

Status Interpreter::assign(const Expr& target, const Value& value) {
  if (target.kind == Expr::Kind::kTuple) {
    BATON_TRY_ASSIGN(const std::vector<Value> items, iterate(value));
    if (items.size() != target.args.size()) {
      return fail(
          fmt::format("cannot unpack {} values into {} names", items.size(), target.args.size()));
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      BATON_TRY(assign(*target.args[i], items[i]));
    }
    return {};
  }
  if (target.kind == Expr::Kind::kAttr) {
    const Value holder = lookup(target.args[0]->text);
    Object* ns = holder.object();
    if (ns == nullptr || ns->kind != Object::Kind::kNamespace) {
      return fail(fmt::format("cannot set '{}.{}': only a namespace has attributes that can be set",
                              target.args[0]->text, target.text));
    }
    for (auto& [name, field] : ns->fields) {
      if (name == target.text) {
        field = value;
        return {};
      }
    }
    ns->fields.emplace_back(target.text, value);
    return {};
  }
  bind(target.text, value);
  return {};
}

void Interpreter::bind(std::string_view name, const Value& value) {
  for (auto& [key, slot] : scope_->names) {
    if (key == name) {
      slot = value;
      return;
    }
  }
  scope_->names.emplace_back(name, value);
}

Value Interpreter::lookup(std::string_view name) {
  for (const Scope* s = scope_; s != nullptr; s = s->parent) {
    for (const auto& [key, value] : s->names) {
      if (key == name) return value;
    }
  }
  return Undefined{name};
}

Result<Value> Interpreter::call_macro(Object& macro, const Args& args) {
  if (calls_ >= kMaxCalls)
    return exhausted(fmt::format("macros call each other deeper than {}", kMaxCalls));
  const Stmt& s = *macro.stmt;
  Scope& inner = scopes_.emplace_back();
  inner.parent = macro.scope;
  Scope* const outer = std::exchange(scope_, &inner);
  std::vector<std::pair<Value, Value>> extra;
  for (const auto& [key, value] : args.named) {
    const bool known = std::any_of(s.params.begin(), s.params.end(),
                                   [&](const auto& p) { return p.first == key; });
    if (key == "caller") {
      inner.names.emplace_back("caller", value);
    } else if (!known && !s.varkwargs) {
      return fail(fmt::format("macro '{}' has no parameter '{}'", macro.name, key));
    } else if (!known) {
      extra.emplace_back(Value(key), value);
    }
  }
  for (std::size_t i = 0; i < s.params.size(); ++i) {
    Value v = Undefined{s.params[i].first};
    if (const Value* given = args.get(i, s.params[i].first)) {
      v = *given;
    } else if (s.params[i].second != nullptr) {
      BATON_TRY_ASSIGN(v, eval(*s.params[i].second));
    }
    inner.names.emplace_back(s.params[i].first, std::move(v));
  }
  std::vector<Value> rest;
  for (std::size_t i = s.params.size(); i < args.positional.size(); ++i)
    rest.push_back(args.positional[i]);
  if (!rest.empty() && !s.varargs) {
    return fail(fmt::format("macro '{}' takes {} arguments, got {}", macro.name, s.params.size(),
                            args.positional.size()));
  }
  if (s.varargs) {
    BATON_TRY_ASSIGN(Value tuple, list(std::move(rest), List::Kind::kTuple));
    inner.names.emplace_back("varargs", std::move(tuple));
  }
  if (s.varkwargs) {
    BATON_TRY_ASSIGN(Value dict, make_dict(std::move(extra)));
    inner.names.emplace_back("kwargs", std::move(dict));
  }
  ++calls_;
  std::string before = std::exchange(out_, {});
  BATON_TRY(run(s.body));
  --calls_;
  scope_ = outer;
  std::string made = std::exchange(out_, std::move(before));
  BATON_TRY(charge(made.size() / 8));
  return Value(std::move(made), escape_);
}

}  // namespace baton::text::jinja
