#include "base/text/go_template.hpp"

#include <fmt/format.h>

#include <cctype>
#include <compare>
#include <iterator>
#include <utility>

#include "base/core/nearest.hpp"
#include "base/text/go_template_syntax.hpp"

namespace baton::text::go_template {
namespace {

using namespace detail;
using json::Value;

// "" for what cannot be printed.
Result<std::string> printed(const Value& value, Position at) {
  if (const std::string* text = value.if_string()) return *text;
  if (value.is_number() || value.if_bool() != nullptr) return json::dump(value);
  if (const json::Array* items = value.if_array()) {
    std::string out = "[";
    for (const Value& item : *items) {
      BATON_TRY_ASSIGN(const std::string one, printed(item, at));
      if (out.size() > 1) out += ' ';
      out += one;
    }
    return out + ']';
  }
  return error_at(at, value.is_null() ? "the value is not set" : "an object cannot be printed");
}

Result<Value> formatted(std::span<const Value> args, Position at) {
  const std::string* format = args.empty() ? nullptr : args[0].if_string();
  if (format == nullptr) return error_at(at, "printf takes a format string first");
  std::string out;
  std::size_t next = 1;
  for (std::size_t i = 0; i < format->size(); ++i) {
    const char c = (*format)[i];
    if (c != '%') {
      out += c;
      continue;
    }
    const char verb = ++i < format->size() ? (*format)[i] : '\0';
    if (verb == '%') {
      out += '%';
      continue;
    }
    if (!std::string_view("sdvq").contains(verb) || verb == '\0') {
      return error_at(at, "printf knows %s %d %v %q and %%");
    }
    if (next >= args.size()) return error_at(at, "printf has too few arguments");
    BATON_TRY_ASSIGN(const std::string text, printed(args[next++], at));
    if (verb == 'q') {
      json::append_quoted(out, text);
    } else {
      out += text;
    }
  }
  if (next != args.size()) return error_at(at, "printf has too many arguments");
  return Value(std::move(out));
}

Result<Value> element(const Value& of, const Value& key, Position at) {
  if (const json::Array* items = of.if_array()) {
    const auto i = key.if_uint();
    if (!i || *i >= items->size()) return error_at(at, "index out of range");
    return (*items)[*i];
  }
  const std::string* name = key.if_string();
  if (of.is_object() && name != nullptr) {
    const Value* found = of.find(*name);
    return found == nullptr ? Value("") : *found;
  }
  return error_at(at, fmt::format("cannot index {} with {}", of.kind_name(), key.kind_name()));
}

Result<Value> length(const Value& of, Position at) {
  if (const std::string* text = of.if_string()) return Value(text->size());
  if (const json::Array* items = of.if_array()) return Value(items->size());
  if (const json::Object* members = of.if_object()) return Value(members->size());
  return error_at(at, fmt::format("{} has no length", of.kind_name()));
}

Result<Value> compared(std::string_view name, std::span<const Value> args, Position at) {
  if (name == "eq" || name == "ne") {
    bool any = false;
    for (const Value& other : args.subspan(1)) any = any || args[0] == other;
    return Value(any == (name == "eq"));
  }
  const std::string* a = args[0].if_string();
  const std::string* b = args[1].if_string();
  std::partial_ordering order = std::partial_ordering::unordered;
  if (a != nullptr && b != nullptr) order = *a <=> *b;
  if (args[0].is_number() && args[1].is_number())
    order = *args[0].if_double() <=> *args[1].if_double();
  if (order == std::partial_ordering::unordered) {
    return error_at(
        at, fmt::format("cannot compare {} and {}", args[0].kind_name(), args[1].kind_name()));
  }
  if (name == "lt") return Value(order < 0);
  if (name == "le") return Value(order <= 0);
  return Value(name == "gt" ? order > 0 : order >= 0);
}

// Bytes of memory, about.
std::size_t weight(const Value& value) {
  std::size_t out = sizeof(Value);
  if (const std::string* text = value.if_string()) out += text->size();
  if (const json::Array* items = value.if_array()) {
    for (const Value& item : *items) out += weight(item);
  }
  if (const json::Object* members = value.if_object()) {
    for (const auto& [key, member] : *members) out += key.size() + weight(member);
  }
  return out;
}

constexpr std::string_view kBuiltins[] = {"and", "or", "not",   "eq",    "ne",     "lt", "le",
                                          "gt",  "ge", "index", "print", "printf", "len"};

class Machine {
 public:
  Machine(const Value& data, const Options& options, Budget& budget)
      : data_(data), dot_(&data), options_(options), budget_(budget) {}

  Status run(const Body& body) {
    const std::size_t scope = variables_.size();
    for (const Node& node : body) {
      BATON_TRY(this->node(node));
    }
    variables_.resize(scope);
    return {};
  }

  std::string take() { return std::move(out_); }

 private:
  Status step(Position at) { return spend(budget_.steps, 1, "steps", at); }

  static Status spend(std::size_t& left, std::size_t amount, std::string_view what, Position at) {
    if (amount > left) {
      return exhausted(
          fmt::format("line {}, column {}: the template, with those before it, takes "
                      "too many {}",
                      at.line, at.column, what));
    }
    left -= amount;
    return {};
  }

  // A value that is copied or made here.
  Result<Value> paid(Result<Value> value, Position at) {
    if (value) {
      BATON_TRY(spend(budget_.bytes, weight(*value), "bytes", at));
    }
    return value;
  }

  Status write(std::string_view text, Position at) {
    if (out_.size() + text.size() > kMaxOutput) {
      return exhausted(fmt::format("line {}, column {}: more than {} bytes of output", at.line,
                                   at.column, kMaxOutput));
    }
    BATON_TRY(spend(budget_.bytes, text.size(), "bytes", at));
    out_ += text;
    return {};
  }

  Status node(const Node& node) {
    BATON_TRY(step(node.at));
    if (const auto* text = std::get_if<Text>(&node.what)) return write(text->text, node.at);
    if (const auto* pipe = std::get_if<Pipeline>(&node.what)) {
      BATON_TRY_ASSIGN(const Value value, pipeline(*pipe));
      if (!pipe->variable.empty()) return {};
      BATON_TRY_ASSIGN(const std::string text, printed(value, pipe->at));
      return write(text, node.at);
    }
    const std::size_t scope = variables_.size();
    Status status;
    if (const auto* chosen = std::get_if<If>(&node.what)) status = branches(*chosen);
    if (const auto* with = std::get_if<With>(&node.what)) status = this->with(*with);
    if (const auto* range = std::get_if<Range>(&node.what)) status = this->range(*range);
    variables_.resize(scope);
    return status;
  }

  Status branches(const If& node) {
    for (const Branch& branch : node.branches) {
      BATON_TRY_ASSIGN(const Value condition, pipeline(branch.condition));
      if (truth(condition)) return run(branch.body);
    }
    return run(node.otherwise);
  }

  Status with(const With& node) {
    BATON_TRY_ASSIGN(const Value value, pipeline(node.branch.condition));
    if (!truth(value)) return run(node.otherwise);
    return run_with_dot(node.branch.body, value);
  }

  Status run_with_dot(const Body& body, const Value& dot) {
    const Value* outer = std::exchange(dot_, &dot);
    Status status = run(body);
    dot_ = outer;
    return status;
  }

  Status range(const Range& node) {
    BATON_TRY_ASSIGN(const Value over, pipeline(node.branch.condition));
    if (!truth(over)) return run(node.otherwise);
    std::size_t index = 0;
    if (const json::Array* items = over.if_array()) {
      for (const Value& item : *items) {
        BATON_TRY(turn(node, Value(index++), item));
      }
      return {};
    }
    if (const json::Object* members = over.if_object()) {
      // Go walks maps in key order.
      std::map<std::string_view, const Value*> sorted;
      for (const auto& [key, value] : *members) sorted.emplace(key, &value);
      for (const auto& [key, value] : sorted) {
        BATON_TRY(turn(node, Value(key), *value));
      }
      return {};
    }
    return error_at(node.branch.condition.at,
                    fmt::format("cannot range over {}", over.kind_name()));
  }

  Status turn(const Range& node, Value key, const Value& item) {
    BATON_TRY(step(node.branch.condition.at));
    const std::size_t scope = variables_.size();
    if (!node.key.empty()) variables_.emplace_back(node.key, std::move(key));
    if (!node.value.empty()) variables_.emplace_back(node.value, item);
    Status status = run_with_dot(node.branch.body, item);
    variables_.resize(scope);
    return status;
  }

  Result<Value> pipeline(const Pipeline& pipe) {
    Value value;
    bool has_value = false;
    for (const Command& one : pipe.commands) {
      BATON_TRY_ASSIGN(value, command(one, has_value ? &value : nullptr, pipe.at));
      has_value = true;
    }
    if (pipe.variable.empty()) return value;
    if (pipe.declares) {
      variables_.emplace_back(pipe.variable, value);
    } else {
      Value* variable = find_variable(pipe.variable);
      if (variable == nullptr) return error_at(pipe.at, "undefined variable " + pipe.variable);
      *variable = value;
    }
    return value;
  }

  // `piped` is the value of the command before: the last argument.
  Result<Value> command(const Command& command, const Value* piped, Position at) {
    const auto* call = std::get_if<Call>(&command[0].root);
    if (call == nullptr) {
      if (command.size() > 1 || piped != nullptr) {
        return error_at(at, "only a function takes arguments");
      }
      return operand(command[0], at);
    }
    if (!command[0].fields.empty()) return error_at(at, "a function has no fields");
    const auto rest = std::span(command).subspan(1);
    if (call->name == "and" || call->name == "or") return logic(call->name, rest, piped, at);
    std::vector<Value> args;
    for (const Operand& one : rest) {
      BATON_TRY_ASSIGN(Value value, operand(one, at));
      args.push_back(std::move(value));
    }
    if (piped != nullptr) args.push_back(*piped);
    return paid(apply(call->name, args, at), at);
  }

  // The first argument that decides, or the last; later ones are not evaluated.
  Result<Value> logic(std::string_view name, std::span<const Operand> rest, const Value* piped,
                      Position at) {
    Value value;
    if (rest.empty() && piped == nullptr)
      return error_at(at, fmt::format("'{}' needs arguments", name));
    for (const Operand& one : rest) {
      BATON_TRY_ASSIGN(value, operand(one, at));
      if (truth(value) == (name == "or")) return value;
    }
    return piped == nullptr ? value : *piped;
  }

  Result<Value> apply(const std::string& name, std::span<const Value> args, Position at) {
    if (const auto own = options_.functions.find(name); own != options_.functions.end()) {
      return own->second(args).with(
          fmt::format("line {}, column {}: {}", at.line, at.column, name));
    }
    const auto needs = [&](std::size_t least) { return args.size() >= least; };
    if (name == "printf") return formatted(args, at);
    if (name == "print") {
      std::string out;
      for (const Value& arg : args) {
        BATON_TRY_ASSIGN(const std::string one, printed(arg, at));
        out += one;
      }
      return Value(std::move(out));
    }
    const bool binary = name == "eq" || name == "ne" || name == "lt" || name == "le" ||
                        name == "gt" || name == "ge";
    if (binary && needs(2)) return compared(name, args, at);
    if (name == "not" && args.size() == 1) return Value(!truth(args[0]));
    if (name == "len" && args.size() == 1) return length(args[0], at);
    if (name == "index" && needs(2)) {
      Value value = args[0];
      for (const Value& key : args.subspan(1)) {
        BATON_TRY_ASSIGN(value, element(value, key, at));
      }
      return value;
    }
    return unknown_function(name, at);
  }

  Error unknown_function(std::string_view name, Position at) const {
    std::vector<std::string_view> known(std::begin(kBuiltins), std::end(kBuiltins));
    for (const std::string_view builtin : kBuiltins) {
      if (name == builtin)
        return error_at(at, fmt::format("wrong number of arguments for {}", name));
    }
    for (const auto& [own, f] : options_.functions) known.push_back(own);
    return error_at(at, fmt::format("no function '{}'{}", name, did_you_mean(name, known)));
  }

  Value* find_variable(std::string_view name) {
    for (auto it = variables_.rbegin(); it != variables_.rend(); ++it) {
      if (it->first == name) return &it->second;
    }
    return nullptr;
  }

  Result<Value> operand(const Operand& operand, Position at) {
    BATON_TRY(step(at));
    return paid(value_of(operand, at), at);
  }

  Result<Value> value_of(const Operand& operand, Position at) {
    if (std::holds_alternative<Dot>(operand.root)) return fields(*dot_, operand.fields, at);
    if (const auto* literal = std::get_if<Value>(&operand.root)) {
      return fields(*literal, operand.fields, at);
    }
    if (const auto* variable = std::get_if<Variable>(&operand.root)) {
      if (variable->name == "$") return fields(data_, operand.fields, at);
      const Value* value = find_variable(variable->name);
      if (value == nullptr) return error_at(at, "undefined variable " + variable->name);
      return fields(*value, operand.fields, at);
    }
    if (const auto* inner = std::get_if<std::unique_ptr<Pipeline>>(&operand.root)) {
      BATON_TRY_ASSIGN(const Value value, pipeline(**inner));
      return fields(value, operand.fields, at);
    }
    return apply(std::get<Call>(operand.root).name, {}, at);
  }

  static Result<Value> fields(const Value& from, std::span<const std::string> names, Position at) {
    const Value* value = &from;
    std::string path;
    for (const std::string& name : names) {
      if (value->is_null()) {
        return error_at(at, fmt::format("{} is not set, so it has no .{} (guard it with 'if')",
                                        path.empty() ? "." : path, name));
      }
      path += "." + name;
      const Value* found = value->find(name);
      if (found == nullptr && !name.empty()) {
        std::string lower = name;
        lower[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(lower[0])));
        found = value->find(lower);
      }
      if (found == nullptr) return no_field(*value, path, name, at);
      value = found;
    }
    return *value;
  }

  static Error no_field(const Value& in, std::string_view path, std::string_view name,
                        Position at) {
    std::vector<std::string> known;
    if (const json::Object* members = in.if_object()) {
      for (const auto& [key, value] : *members) known.push_back(capitalised(key));
    }
    const std::vector<std::string_view> views(known.begin(), known.end());
    return error_at(at, fmt::format("no field {}{}", path, did_you_mean(name, views)));
  }

  static std::string capitalised(std::string key) {
    if (!key.empty()) key[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(key[0])));
    return key;
  }

  const Value& data_;
  const Value* dot_;
  const Options& options_;
  std::vector<std::pair<std::string, Value>> variables_;
  std::string out_;
  Budget& budget_;
};

}  // namespace

bool truth(const Value& value) {
  if (value.is_null()) return false;
  if (const bool* b = value.if_bool()) return *b;
  if (value.is_number()) return *value.if_double() != 0;
  if (const std::string* text = value.if_string()) return !text->empty();
  if (const json::Array* items = value.if_array()) return !items->empty();
  return !value.if_object()->empty();
}

Result<std::string> render(std::string_view text, const Value& data, const Options& options) {
  if (text.size() > kMaxText) {
    return invalid(
        fmt::format("template of {} bytes is over the limit of {}", text.size(), kMaxText));
  }
  BATON_TRY_ASSIGN(const Body body, parse(text, options.trim));
  Budget own;
  Machine machine(data, options, options.budget == nullptr ? own : *options.budget);
  BATON_TRY(machine.run(body));
  return machine.take();
}

}  // namespace baton::text::go_template
