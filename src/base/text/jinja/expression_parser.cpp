#include "base/text/jinja/expression_parser.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdlib>

#include "base/text/jinja.hpp"
#include "base/text/jinja/interpreter.hpp"

namespace baton::text::jinja {
namespace {

using Kind = Token::Kind;
using E = Expr::Kind;

std::string shown(const Token& token) {
  switch (token.kind) {
    case Kind::kPrintEnd:
      return "'}}'";
    case Kind::kBlockEnd:
      return "'%}'";
    case Kind::kEnd:
      return "the end of the template";
    case Kind::kString:
      return "a string";
    case Kind::kData:
    case Kind::kPrintBegin:
    case Kind::kBlockBegin:
      return "a tag";
    default:
      return fmt::format("'{}'", token.text);
  }
}

ExprPtr two(E kind, int line, std::string text, ExprPtr left, ExprPtr right) {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  node->text = std::move(text);
  node->args.push_back(std::move(left));
  node->args.push_back(std::move(right));
  return node;
}

Result<Value> integer(const Token& token) {
  const bool is_hex = token.text.size() > 1 && (token.text[1] == 'x' || token.text[1] == 'X');
  const Int base = is_hex ? 16 : 10;
  Int n = 0;
  for (const char c : std::string_view(token.text).substr(is_hex ? 2 : 0)) {
    const int d = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    if (__builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, Int{d}, &n)) {
      return at_line(token.line, "an integer beyond 127 bits");
    }
  }
  return Value(n);
}

}  // namespace

Error ExpressionParser::unexpected(std::string_view wanted) const {
  return at_line(current().line, fmt::format("expected {}, got {}", wanted, shown(current())));
}

Status ExpressionParser::expect(Kind kind, std::string_view wanted) {
  if (current().kind != kind) return unexpected(wanted);
  next();
  return {};
}

Status ExpressionParser::enter() {
  if (++depth_ > kMaxNesting) {
    return at_line(current().line, fmt::format("nested deeper than {}", kMaxNesting));
  }
  return {};
}

ExprPtr ExpressionParser::make(E kind, std::string text) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = current().line;
  node->text = std::move(text);
  return node;
}

Result<ExprPtr> ExpressionParser::expression() {
  BATON_TRY(enter());
  BATON_TRY_ASSIGN(ExprPtr node, condition());
  leave();
  return node;
}

Result<ExprPtr> ExpressionParser::condition() {
  BATON_TRY_ASSIGN(ExprPtr node, logic_or());
  while (is_name("if")) {
    ExprPtr choice = make(E::kIf);
    next();
    BATON_TRY_ASSIGN(ExprPtr test, logic_or());
    ExprPtr other;
    if (skip_name("else")) {
      BATON_TRY_ASSIGN(other, expression());
    }
    choice->args.push_back(std::move(node));
    choice->args.push_back(std::move(test));
    choice->args.push_back(std::move(other));
    node = std::move(choice);
  }
  return node;
}

Result<ExprPtr> ExpressionParser::tuple_or_expression(bool conditional) {
  const auto one = [&] { return conditional ? expression() : logic_or(); };
  BATON_TRY_ASSIGN(ExprPtr first, one());
  if (!is_op(",")) return first;
  ExprPtr tuple = make(E::kTuple);
  tuple->args.push_back(std::move(first));
  while (skip_op(",")) {
    if (current().kind == Kind::kPrintEnd || current().kind == Kind::kBlockEnd || is_op(")")) break;
    BATON_TRY_ASSIGN(ExprPtr item, one());
    tuple->args.push_back(std::move(item));
  }
  return tuple;
}

Result<ExprPtr> ExpressionParser::assign_target(bool attributes) {
  BATON_TRY(enter());
  ExprPtr tuple = make(E::kTuple);
  bool is_tuple = false;
  while (true) {
    if (skip_op("(")) {
      BATON_TRY_ASSIGN(ExprPtr inner, assign_target(false));
      if (!skip_op(")")) return unexpected("')'");
      tuple->args.push_back(std::move(inner));
    } else {
      if (current().kind != Kind::kName) return unexpected("a name to assign to");
      static constexpr std::array<std::string_view, 6> kConstants = {"true", "false", "none",
                                                                     "True", "False", "None"};
      for (const std::string_view constant : kConstants) {
        if (current().text == constant)
          return at_line(current().line, fmt::format("cannot assign to '{}'", constant));
      }
      if (current().text == "in") return unexpected("a name to assign to");
      ExprPtr name = make(E::kName, current().text);
      next();
      if (attributes && skip_op(".")) {
        if (current().kind != Kind::kName) return unexpected("an attribute name");
        ExprPtr attribute = make(E::kAttr, current().text);
        attribute->args.push_back(std::move(name));
        name = std::move(attribute);
        next();
      }
      tuple->args.push_back(std::move(name));
    }
    if (!skip_op(",")) break;
    is_tuple = true;
    if (is_name("in") || is_op("=") || is_op(")")) break;
  }
  leave();
  if (!is_tuple) return std::move(tuple->args[0]);
  return tuple;
}

Result<ExprPtr> ExpressionParser::logic_or() {
  BATON_TRY_ASSIGN(ExprPtr left, logic_and());
  while (is_name("or")) {
    const int line = current().line;
    next();
    BATON_TRY_ASSIGN(ExprPtr right, logic_and());
    left = two(E::kOr, line, "", std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::logic_and() {
  BATON_TRY_ASSIGN(ExprPtr left, logic_not());
  while (is_name("and")) {
    const int line = current().line;
    next();
    BATON_TRY_ASSIGN(ExprPtr right, logic_not());
    left = two(E::kAnd, line, "", std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::logic_not() {
  if (!is_name("not")) return comparison();
  BATON_TRY(enter());
  ExprPtr node = make(E::kUnary, "not");
  next();
  BATON_TRY_ASSIGN(ExprPtr inner, logic_not());
  node->args.push_back(std::move(inner));
  leave();
  return node;
}

Result<ExprPtr> ExpressionParser::comparison() {
  BATON_TRY_ASSIGN(ExprPtr left, sum());
  ExprPtr chain;
  while (true) {
    std::string op;
    static constexpr std::array<std::string_view, 6> kOps = {"==", "!=", "<", "<=", ">", ">="};
    for (const std::string_view known : kOps) {
      if (is_op(known)) op = known;
    }
    if (is_name("in")) op = "in";
    if (is_name("not") && tokens_[at_ + 1].kind == Kind::kName && tokens_[at_ + 1].text == "in")
      op = "not in";
    if (op.empty()) break;
    if (chain == nullptr) {
      chain = make(E::kCompare);
      chain->args.push_back(std::move(left));
    }
    next();
    if (op == "not in") next();
    BATON_TRY_ASSIGN(ExprPtr right, sum());
    chain->texts.push_back(std::move(op));
    chain->args.push_back(std::move(right));
  }
  return chain == nullptr ? std::move(left) : std::move(chain);
}

Result<ExprPtr> ExpressionParser::sum() {
  BATON_TRY_ASSIGN(ExprPtr left, concat());
  while (is_op("+") || is_op("-")) {
    const Token op = current();
    next();
    BATON_TRY_ASSIGN(ExprPtr right, concat());
    left = two(E::kBinary, op.line, op.text, std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::concat() {
  BATON_TRY_ASSIGN(ExprPtr left, product());
  if (!is_op("~")) return left;
  ExprPtr node = make(E::kConcat);
  node->args.push_back(std::move(left));
  while (skip_op("~")) {
    BATON_TRY_ASSIGN(ExprPtr right, product());
    node->args.push_back(std::move(right));
  }
  return node;
}

Result<ExprPtr> ExpressionParser::product() {
  BATON_TRY_ASSIGN(ExprPtr left, power());
  while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
    const Token op = current();
    next();
    BATON_TRY_ASSIGN(ExprPtr right, power());
    left = two(E::kBinary, op.line, op.text, std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::power() {
  BATON_TRY_ASSIGN(ExprPtr left, unary(true));
  while (is_op("**")) {
    const int line = current().line;
    next();
    BATON_TRY_ASSIGN(ExprPtr right, unary(true));
    left = two(E::kBinary, line, "**", std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::unary(bool with_filters) {
  ExprPtr node;
  if (is_op("-") || is_op("+")) {
    BATON_TRY(enter());
    node = make(E::kUnary, current().text);
    next();
    BATON_TRY_ASSIGN(ExprPtr inner, unary(false));
    node->args.push_back(std::move(inner));
    leave();
  } else {
    BATON_TRY_ASSIGN(node, primary());
  }
  BATON_TRY_ASSIGN(node, postfix(std::move(node)));
  return with_filters ? filters_and_tests(std::move(node)) : Result<ExprPtr>(std::move(node));
}

Result<ExprPtr> ExpressionParser::primary() {
  const Token& token = current();
  ExprPtr node = make(E::kConst, token.text);
  switch (token.kind) {
    case Kind::kName:
      if (token.text == "true" || token.text == "True") {
        node->value = true;
      } else if (token.text == "false" || token.text == "False") {
        node->value = false;
      } else if (token.text == "none" || token.text == "None") {
        node->value = None{};
      } else {
        node->kind = E::kName;
        saw_varargs_ = saw_varargs_ || token.text == "varargs";
        saw_kwargs_ = saw_kwargs_ || token.text == "kwargs";
      }
      next();
      return node;
    case Kind::kString: {
      std::string text;
      for (; current().kind == Kind::kString; next()) text += current().text;
      node->value = std::move(text);
      return node;
    }
    case Kind::kInt: {
      BATON_TRY_ASSIGN(node->value, integer(token));
      next();
      return node;
    }
    case Kind::kFloat:
      node->value = std::strtod(token.text.c_str(), nullptr);
      next();
      return node;
    default:
      if (is_op("(")) return parenthesis();
      if (is_op("[")) return literal_list();
      if (is_op("{")) return literal_dict();
      return unexpected("an expression");
  }
}

Result<ExprPtr> ExpressionParser::parenthesis() {
  ExprPtr empty = make(E::kTuple);
  next();
  if (skip_op(")")) return empty;
  BATON_TRY_ASSIGN(ExprPtr node, tuple_or_expression());
  if (!skip_op(")")) return unexpected("')'");
  return node;
}

Result<ExprPtr> ExpressionParser::literal_list() {
  ExprPtr node = make(E::kList);
  next();
  while (!is_op("]")) {
    if (!node->args.empty() && !skip_op(",")) return unexpected("',' or ']'");
    if (is_op("]")) break;
    BATON_TRY_ASSIGN(ExprPtr item, expression());
    node->args.push_back(std::move(item));
  }
  next();
  return node;
}

Result<ExprPtr> ExpressionParser::literal_dict() {
  ExprPtr node = make(E::kDict);
  next();
  while (!is_op("}")) {
    if (!node->args.empty() && !skip_op(",")) return unexpected("',' or '}'");
    if (is_op("}")) break;
    BATON_TRY_ASSIGN(ExprPtr key, expression());
    if (!skip_op(":")) return unexpected("':'");
    BATON_TRY_ASSIGN(ExprPtr value, expression());
    node->args.push_back(std::move(key));
    node->args.push_back(std::move(value));
  }
  next();
  return node;
}

Result<ExprPtr> ExpressionParser::postfix(ExprPtr node) {
  std::size_t links = 0;
  while (true) {
    if (++links > kMaxNesting) return at_line(current().line, "a chain of attributes is too long");
    if (is_op(".")) {
      next();
      if (current().kind == Kind::kName) {
        ExprPtr attribute = make(E::kAttr, current().text);
        attribute->args.push_back(std::move(node));
        node = std::move(attribute);
      } else if (current().kind == Kind::kInt) {
        ExprPtr key = make(E::kConst);
        BATON_TRY_ASSIGN(key->value, integer(current()));
        node = two(E::kItem, current().line, "", std::move(node), std::move(key));
      } else {
        return unexpected("a name after '.'");
      }
      next();
    } else if (is_op("[")) {
      BATON_TRY_ASSIGN(node, subscript(std::move(node)));
    } else if (is_op("(")) {
      BATON_TRY_ASSIGN(node, call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::subscript(ExprPtr node) {
  ExprPtr item = make(E::kItem);
  next();
  ExprPtr tuple = make(E::kTuple);
  while (!is_op("]")) {
    if (!tuple->args.empty() && !skip_op(",")) return unexpected("']'");
    BATON_TRY_ASSIGN(ExprPtr key, slice_or_expression());
    tuple->args.push_back(std::move(key));
  }
  if (tuple->args.empty()) return unexpected("an expression");
  next();
  item->args.push_back(std::move(node));
  item->args.push_back(tuple->args.size() == 1 ? std::move(tuple->args[0]) : std::move(tuple));
  return item;
}

Result<ExprPtr> ExpressionParser::slice_or_expression() {
  ExprPtr slice = make(E::kSlice);
  slice->args.resize(3);
  if (!is_op(":")) {
    BATON_TRY_ASSIGN(ExprPtr first, expression());
    if (!is_op(":")) return first;
    slice->args[0] = std::move(first);
  }
  for (std::size_t part = 1; part < 3 && skip_op(":"); ++part) {
    if (is_op(":") || is_op("]") || is_op(",")) continue;
    BATON_TRY_ASSIGN(slice->args[part], expression());
  }
  return slice;
}

}  // namespace baton::text::jinja
