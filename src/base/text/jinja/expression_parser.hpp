#pragma once
// The expression half of the parser.

#include <string_view>
#include <utility>
#include <vector>

#include "base/core/nearest.hpp"
#include "base/text/jinja/ast.hpp"
#include "base/text/jinja/lexer.hpp"

namespace baton::text::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  const Token& current() const { return tokens_[at_]; }
  void next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool is_op(std::string_view op) const {
    return current().kind == Token::Kind::kOperator && current().text == op;
  }
  bool is_name(std::string_view name) const {
    return current().kind == Token::Kind::kName && current().text == name;
  }
  bool skip_op(std::string_view op) {
    const bool there = is_op(op);
    if (there) next();
    return there;
  }
  bool skip_name(std::string_view name) {
    const bool there = is_name(name);
    if (there) next();
    return there;
  }
  Error unexpected(std::string_view wanted) const;
  Status expect(Token::Kind kind, std::string_view wanted);
  // Bounds recursion: one level deeper, and back.
  Status enter();
  void leave() { --depth_; }

  Result<ExprPtr> expression();  // with inline if
  // "a, b" is a tuple. `conditional` false: "x if y" is not read as an inline if (for … in x if y).
  Result<ExprPtr> tuple_or_expression(bool conditional = true);
  // A name, a tuple of names, or with `attributes` also ns.attribute.
  Result<ExprPtr> assign_target(bool attributes);
  // "| f | g(1)", or with `bare_first` "f | g(1)"; the innermost input is `input` (null: the
  // block).
  Result<ExprPtr> filter_chain(ExprPtr input, bool bare_first);

  bool saw_varargs_ = false;
  bool saw_kwargs_ = false;

 private:
  Result<ExprPtr> condition();
  Result<ExprPtr> logic_or();
  Result<ExprPtr> logic_and();
  Result<ExprPtr> logic_not();
  Result<ExprPtr> comparison();
  Result<ExprPtr> sum();
  Result<ExprPtr> concat();
  Result<ExprPtr> product();
  Result<ExprPtr> power();
  Result<ExprPtr> unary(bool with_filters);
  Result<ExprPtr> primary();
  Result<ExprPtr> parenthesis();
  Result<ExprPtr> literal_list();
  Result<ExprPtr> literal_dict();
  Result<ExprPtr> postfix(ExprPtr node);
  Result<ExprPtr> subscript(ExprPtr node);
  Result<ExprPtr> slice_or_expression();
  Result<ExprPtr> filters_and_tests(ExprPtr node);
  Result<ExprPtr> filter(ExprPtr input);
  Result<ExprPtr> test(ExprPtr node);
  Result<ExprPtr> call(ExprPtr callee);
  Status call_arguments(Expr& call);
  Result<std::string> dotted_name();
  ExprPtr make(Expr::Kind kind, std::string text = "") const;

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
};

}  // namespace baton::text::jinja
