// Filters, tests and calls behind an expression.

#include <fmt/format.h>

#include "base/text/jinja.hpp"
#include "base/text/jinja/expression_parser.hpp"
#include "base/text/jinja/interpreter.hpp"

namespace baton::text::jinja {

using Kind = Token::Kind;
using E = Expr::Kind;

Result<ExprPtr> ExpressionParser::filters_and_tests(ExprPtr node) {
  std::size_t links = 0;
  while (true) {
    if (++links > kMaxNesting) return at_line(current().line, "a chain of filters is too long");
    if (skip_op("|")) {
      BATON_TRY_ASSIGN(node, filter(std::move(node)));
    } else if (is_name("is")) {
      BATON_TRY_ASSIGN(node, test(std::move(node)));
    } else if (is_op("(")) {
      BATON_TRY_ASSIGN(node, call(std::move(node)));
    } else {
      return node;
    }
  }
}

Result<ExprPtr> ExpressionParser::filter_chain(ExprPtr input, bool bare_first) {
  ExprPtr node = std::move(input);
  while (bare_first || skip_op("|")) {
    bare_first = false;
    BATON_TRY_ASSIGN(node, filter(std::move(node)));
  }
  return node;
}

Result<std::string> ExpressionParser::dotted_name() {
  if (current().kind != Kind::kName) return unexpected("a name");
  std::string name = current().text;
  next();
  while (skip_op(".")) {
    name += '.' + current().text;
    BATON_TRY(expect(Kind::kName, "a name"));
  }
  return name;
}

Result<ExprPtr> ExpressionParser::filter(ExprPtr input) {
  ExprPtr node = make(E::kFilter);
  BATON_TRY_ASSIGN(node->text, dotted_name());
  if (!is_filter(node->text)) {
    return at_line(node->line, fmt::format("no filter named '{}'{}", node->text,
                                           did_you_mean(node->text, filter_names())));
  }
  node->args.push_back(std::move(input));
  if (is_op("(")) {
    BATON_TRY(call_arguments(*node));
  }
  return node;
}

Result<ExprPtr> ExpressionParser::test(ExprPtr input) {
  ExprPtr node = make(E::kTest);
  next();
  const bool negated = skip_name("not");
  BATON_TRY_ASSIGN(node->text, dotted_name());
  if (!is_test(node->text)) {
    return at_line(node->line, fmt::format("no test named '{}'{}", node->text,
                                           did_you_mean(node->text, test_names())));
  }
  node->args.push_back(std::move(input));
  const bool operand = current().kind == Kind::kName || current().kind == Kind::kString ||
                       current().kind == Kind::kInt || current().kind == Kind::kFloat ||
                       is_op("[") || is_op("{");
  if (is_op("(")) {
    BATON_TRY(call_arguments(*node));
  } else if (operand && !is_name("else") && !is_name("or") && !is_name("and")) {
    if (is_name("is")) return at_line(node->line, "tests cannot be chained with 'is'");
    BATON_TRY_ASSIGN(ExprPtr argument, primary());
    BATON_TRY_ASSIGN(argument, postfix(std::move(argument)));
    node->args.push_back(std::move(argument));
  }
  if (!negated) return node;
  ExprPtr inverse = make(E::kUnary, "not");
  inverse->args.push_back(std::move(node));
  return inverse;
}

Result<ExprPtr> ExpressionParser::call(ExprPtr callee) {
  ExprPtr node = make(E::kCall);
  node->args.push_back(std::move(callee));
  BATON_TRY(call_arguments(*node));
  return node;
}

Status ExpressionParser::call_arguments(Expr& call) {
  next();
  bool first = true;
  while (!is_op(")")) {
    if (!std::exchange(first, false) && !skip_op(",")) return unexpected("',' or ')'");
    if (is_op(")")) break;
    if (skip_op("*")) {
      BATON_TRY_ASSIGN(call.spread_args, expression());
    } else if (skip_op("**")) {
      BATON_TRY_ASSIGN(call.spread_kwargs, expression());
    } else if (current().kind == Kind::kName && tokens_[at_ + 1].kind == Kind::kOperator &&
               tokens_[at_ + 1].text == "=") {
      std::string key = current().text;
      next();
      next();
      BATON_TRY_ASSIGN(ExprPtr value, expression());
      call.kwargs.emplace_back(std::move(key), std::move(value));
    } else {
      if (!call.kwargs.empty())
        return at_line(current().line, "a positional argument follows a named one");
      BATON_TRY_ASSIGN(ExprPtr value, expression());
      call.args.push_back(std::move(value));
    }
  }
  next();
  return {};
}

}  // namespace baton::text::jinja
