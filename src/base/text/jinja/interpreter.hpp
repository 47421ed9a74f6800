#pragma once
// Evaluates a Program. One Interpreter renders once; confined to its caller.

#include <ctime>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/jinja/ast.hpp"
#include "base/text/jinja/value.hpp"

namespace baton::text::jinja {

struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> names;
};

// What is neither text nor number nor list: owned by the interpreter that made it.
struct Object {
  enum class Kind : std::uint8_t {
    kMacro,
    kNamespace,
    kLoop,
    kFunction,
    kMethod,
    kCycler,
    kJoiner
  };
  Kind kind = Kind::kFunction;
  std::string name;
  Value self;                                         // of a method; the separator of a joiner
  std::vector<std::pair<std::string, Value>> fields;  // of a namespace
  const Stmt* stmt = nullptr;                         // macro, caller, recursive loop
  Scope* scope = nullptr;                             // where that was written
  std::vector<Value> items;                           // loop, cycler
  std::size_t position = 0;                           // loop, cycler; joiner: uses
  std::size_t depth = 1;                              // loop
  std::vector<Value> changed;                         // loop.changed: what it last saw
};

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;

  // By position or name; null when not given.
  const Value* get(std::size_t index, std::string_view name) const;
  bool flag(std::size_t index, std::string_view name, bool otherwise = false) const;
};

// Steps for a short text as an item, which takes as much memory as a dozen words.
inline constexpr std::size_t kItemWork = 4;
// Bytes that are compared in a step: nothing is made of them.
inline constexpr std::size_t kCompared = 64;

class Draft;

class Interpreter {
 public:
  explicit Interpreter(const std::tm& now) : now_(now) {}

  Result<std::string> render(const Program& program, const json::Object& context);

  // For filters, tests and methods.
  Status charge(std::size_t work);    // kExhausted past kMaxWork
  Result<Value> text(std::string s);  // a string that was made, charged
  // Bytes that a string may have which is to be made now. Many pieces become one in a Draft of
  // these: charged when it is whole, it has taken the memory already.
  std::size_t room() const;
  Result<std::string> shown(const Value& v);  // as print shows it, charged
  // The same into a draft; a text is not made for that, and so charged only with the whole.
  Status add(Draft& draft, const Value& v);
  Result<Value> list(std::vector<Value> items, List::Kind kind = List::Kind::kList);
  Result<std::vector<Value>> iterate(const Value& v);
  Result<Value> attribute(const Value& v, std::string_view name);
  Result<Value> item(const Value& v, const Value& key);
  // "a.b.0", as attribute= of filters reads it.
  Result<Value> path(const Value& v, const Value& path);
  Result<Value> call(const Value& callee, const Args& args);
  // Charged, for a small list may have the same one in it many times over.
  Result<bool> equals(const Value& a, const Value& b);
  Result<int> order(const Value& a, const Value& b);  // as compare(), also of lists
  // Where the key is; items.size(): nowhere.
  Result<std::size_t> place(const Items& items, const Value& key);
  Object* make(Object::Kind kind, std::string_view name);
  Error fail(std::string_view what) const;  // kInvalid
  const std::tm& now() const { return now_; }
  Error raise(std::string text);  // raise_exception

 private:
  enum class Flow : std::uint8_t { kNext, kBreak, kContinue };

  Result<Flow> run(const Body& body);
  Result<Flow> run(const Stmt& s);
  Result<Flow> scoped(const Stmt& s, bool escape);
  Result<Value> captured(const Body& body);  // in a scope of its own
  Status print(const Value& v);
  Status write(std::string_view piece);
  Status for_loop(const Stmt& s, const Value& over, std::size_t depth, Flow& flow);
  Result<Flow> iterations(const Stmt& s, Object& loop);
  Status call_block(const Stmt& s);
  void bind(std::string_view name, const Value& value);
  Status assign(const Expr& target, const Value& value);
  Result<Value> filtered(const Expr* chain, Value input);
  Result<Value> call_macro(Object& macro, const Args& args);
  Result<Value> call_function(Object& function, const Args& args);

  Result<Value> eval(const Expr& e);
  Result<Value> eval_node(const Expr& e);
  Result<Value> compare_chain(const Expr& e);
  Result<Value> slice(const Value& v, const Expr& s);
  Result<Value> call_expression(const Expr& e, const Value* caller);
  Result<Args> arguments(const Expr& e);
  Value lookup(std::string_view name);
  Status put(Items& items, Value key, Value value);

  std::tm now_;
  std::string out_;
  std::deque<Scope> scopes_;
  std::deque<Object> objects_;
  Scope* scope_ = nullptr;
  std::size_t work_ = 0;
  std::size_t nesting_ = 0;
  std::size_t calls_ = 0;
  int line_ = 1;
  bool escape_ = false;
  bool raised_ = false;
};

// operators.cpp
Result<Value> binary(Interpreter& in, std::string_view op, const Value& a, const Value& b);
Result<bool> contains(Interpreter& in, const Value& container, const Value& item);
Result<Value> slice_of(Interpreter& in, const Value& v, const Value& from, const Value& to,
                       const Value& step);
// printf.cpp: "%s-%d" % (a, b) and "{} {}".format(a, b)
Result<Value> printf_style(Interpreter& in, std::string_view format, const Value& arguments);
Result<Value> brace_style(Interpreter& in, std::string_view format, const Args& args);
// `limit` < 0: all.
Result<Value> replace_text(Interpreter& in, std::string_view s, std::string_view from,
                           std::string_view to, Int limit);
// methods.cpp
bool is_method(const Value& v, std::string_view name);
Result<Value> call_method(Interpreter& in, const Value& self, std::string_view name,
                          const Args& args);
// filters.cpp, tests.cpp
bool is_filter(std::string_view name);
std::span<const std::string_view> filter_names();
Result<Value> apply_filter(Interpreter& in, std::string_view name, const Value& input,
                           const Args& args);
bool is_test(std::string_view name);
std::span<const std::string_view> test_names();
Result<bool> apply_test(Interpreter& in, std::string_view name, const Value& v, const Args& args);
bool callable(const Value& v);

}  // namespace baton::text::jinja
