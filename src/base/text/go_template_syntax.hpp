#pragma once
// The tree of a Go template. Internal to base/text.

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/go_template.hpp"

namespace baton::text::go_template::detail {

struct Pipeline;

// A position in the text, both from 1.
struct Position {
  int line = 1;
  int column = 1;
};

Error error_at(Position at, std::string_view what);

// What a path of fields starts from.
struct Dot {};
struct Variable {
  std::string name;  // "$" is the data at the top
};
struct Call {
  std::string name;
};
using Root = std::variant<Dot, Variable, Call, json::Value, std::unique_ptr<Pipeline>>;

// `.A.B`, `$x.A`, `name`, `"text"`, `(…).A`.
struct Operand {
  Root root;
  std::vector<std::string> fields;
};

using Command = std::vector<Operand>;  // a function and its arguments, or one operand

struct Pipeline {
  Position at;
  std::string variable;  // "$x" when `$x := …` or `$x = …`
  bool declares = false;
  std::vector<Command> commands;
};

struct Node;
using Body = std::vector<Node>;

struct Text {
  std::string text;
};
struct Branch {
  Pipeline condition;
  Body body;
};
struct If {
  std::vector<Branch> branches;
  Body otherwise;
};
struct With {
  Branch branch;
  Body otherwise;
};
struct Range {
  std::string key;    // "$i" or empty
  std::string value;  // "$v" or empty
  Branch branch;
  Body otherwise;
};

struct Node {
  Position at;
  std::variant<Text, Pipeline, If, With, Range> what;
};

Result<Body> parse(std::string_view text, Trim trim);

}  // namespace baton::text::go_template::detail
