#include "base/text/jinja/parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text/jinja.hpp"
#include "base/text/jinja/expression_parser.hpp"

namespace baton::text::jinja {
namespace {

using Kind = Token::Kind;

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Result<Program> run() {
    Program program;
    BATON_TRY_ASSIGN(program.body, body({}));
    return program;
  }

 private:
  // Statements up to one of the end tags, whose name is then the current token (or to the end).
  Result<Body> body(std::vector<std::string_view> ends, int opened = 0,
                    std::string_view what = "") {
    Body out;
    BATON_TRY(enter());
    while (true) {
      const Token& token = current();
      if (token.kind == Kind::kEnd) {
        if (ends.empty()) break;
        return at_line(token.line, fmt::format("the '{}' of line {} is never closed: no '{}'", what,
                                               opened, ends.back()));
      }
      if (token.kind == Kind::kData) {
        Stmt data;
        data.text = token.text;
        data.line = token.line;
        out.push_back(std::move(data));
        next();
      } else if (token.kind == Kind::kPrintBegin) {
        Stmt print;
        print.kind = Stmt::Kind::kPrint;
        print.line = token.line;
        next();
        BATON_TRY_ASSIGN(print.expr, tuple_or_expression());
        BATON_TRY(expect(Kind::kPrintEnd, "'}}'"));
        out.push_back(std::move(print));
      } else {
        next();
        if (current().kind == Kind::kName &&
            std::find(ends.begin(), ends.end(), current().text) != ends.end()) {
          break;
        }
        BATON_TRY_ASSIGN(Stmt stmt, statement());
        out.push_back(std::move(stmt));
      }
    }
    leave();
    return out;
  }

  Status end_block() { return expect(Kind::kBlockEnd, "'%}'"); }
  // The end tag that stopped body().
  Status end_tag() {
    next();
    return end_block();
  }

  Result<Stmt> statement() {
    Stmt s;
    s.line = current().line;
    if (current().kind != Kind::kName) return at_line(s.line, "a tag begins with its name");
    const std::string name = current().text;
    next();
    if (name == "for") return for_loop(std::move(s));
    if (name == "if") return if_chain(std::move(s));
    if (name == "set") return set(std::move(s));
    if (name == "macro") return macro(std::move(s));
    if (name == "call") return call(std::move(s));
    if (name == "with") return with(std::move(s));
    if (name == "filter") {
      s.kind = Stmt::Kind::kFilter;
      BATON_TRY_ASSIGN(s.expr, filter_chain(nullptr, true));
      return closed(std::move(s), "endfilter", name);
    }
    if (name == "generation") {
      s.kind = Stmt::Kind::kScope;
      return closed(std::move(s), "endgeneration", name);
    }
    if (name == "autoescape") {
      const bool on = current().text == "true" || current().text == "True";
      if (!on && current().text != "false" && current().text != "False") {
        return at_line(s.line, "autoescape takes true or false");
      }
      next();
      s.kind = on ? Stmt::Kind::kEscape : Stmt::Kind::kScope;
      return closed(std::move(s), "endautoescape", name);
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) return at_line(s.line, fmt::format("'{}' outside a loop", name));
      s.kind = name == "break" ? Stmt::Kind::kBreak : Stmt::Kind::kContinue;
      BATON_TRY(end_block());
      return s;
    }
    if (name == "include" || name == "import" || name == "from" || name == "extends" ||
        name == "block") {
      return at_line(s.line,
                     fmt::format("'{}' is not supported: a chat template is one file", name));
    }
    static constexpr std::array<std::string_view, 12> kTags = {
        "for",    "if",         "set",        "macro", "call",     "with",
        "filter", "generation", "autoescape", "break", "continue", "raw"};
    return at_line(s.line, fmt::format("unknown tag '{}'{}", name, did_you_mean(name, kTags)));
  }

  Result<Stmt> closed(Stmt s, std::string_view end, std::string_view what) {
    BATON_TRY(end_block());
    BATON_TRY_ASSIGN(s.body, body({end}, s.line, what));
    BATON_TRY(end_tag());
    return s;
  }

  Result<Stmt> for_loop(Stmt s) {
    s.kind = Stmt::Kind::kFor;
    BATON_TRY_ASSIGN(s.target, assign_target(false));
    if (!skip_name("in")) return unexpected("'in'");
    BATON_TRY_ASSIGN(s.expr, tuple_or_expression(false));
    if (skip_name("if")) {
      BATON_TRY_ASSIGN(s.test, expression());
    }
    s.recursive = skip_name("recursive");
    BATON_TRY(end_block());
    ++loops_;
    BATON_TRY_ASSIGN(s.body, body({"else", "endfor"}, s.line, "for"));
    --loops_;
    if (current().text == "else") {
      BATON_TRY(end_tag());
      BATON_TRY_ASSIGN(s.other, body({"endfor"}, s.line, "for"));
    }
    BATON_TRY(end_tag());
    return s;
  }

  Result<Stmt> if_chain(Stmt s) {
    s.kind = Stmt::Kind::kIf;
    BATON_TRY_ASSIGN(s.test, tuple_or_expression(false));
    BATON_TRY(end_block());
    BATON_TRY_ASSIGN(s.body, body({"elif", "else", "endif"}, s.line, "if"));
    if (current().text == "elif") {
      Stmt inner;
      inner.line = current().line;
      next();
      BATON_TRY(enter());
      BATON_TRY_ASSIGN(inner, if_chain(std::move(inner)));
      leave();
      s.other.push_back(std::move(inner));
      return s;  // the inner one took the end tag
    }
    if (current().text == "else") {
      BATON_TRY(end_tag());
      BATON_TRY_ASSIGN(s.other, body({"endif"}, s.line, "if"));
    }
    BATON_TRY(end_tag());
    return s;
  }

  Result<Stmt> set(Stmt s) {
    BATON_TRY_ASSIGN(s.target, assign_target(true));
    if (skip_op("=")) {
      s.kind = Stmt::Kind::kSet;
      BATON_TRY_ASSIGN(s.expr, tuple_or_expression());
      BATON_TRY(end_block());
      return s;
    }
    s.kind = Stmt::Kind::kSetBlock;
    if (is_op("|")) {
      BATON_TRY_ASSIGN(s.expr, filter_chain(nullptr, false));
    }
    return closed(std::move(s), "endset", "set");
  }

  Status signature(Stmt& s) {
    if (!skip_op("(")) return unexpected("'('");
    while (!is_op(")")) {
      if (!s.params.empty() && !skip_op(",")) return unexpected("','");
      if (current().kind != Kind::kName) return unexpected("a parameter name");
      const std::string name = current().text;
      for (const auto& [other, unused] : s.params) {
        if (other == name)
          return at_line(current().line, fmt::format("parameter '{}' is there twice", name));
      }
      next();
      ExprPtr value;
      if (skip_op("=")) {
        BATON_TRY_ASSIGN(value, expression());
      } else if (!s.params.empty() && s.params.back().second != nullptr) {
        return at_line(current().line,
                       fmt::format("parameter '{}' without a default follows one with", name));
      }
      s.params.emplace_back(name, std::move(value));
    }
    next();
    return {};
  }

  // A body of its own: break and continue do not reach out of it.
  Result<Stmt> closed_apart(Stmt s, std::string_view end, std::string_view what) {
    const int loops = std::exchange(loops_, 0);
    saw_varargs_ = saw_kwargs_ = false;
    auto out = closed(std::move(s), end, what);
    loops_ = loops;
    if (out) {
      out->varargs = saw_varargs_;
      out->varkwargs = saw_kwargs_;
    }
    return out;
  }

  Result<Stmt> macro(Stmt s) {
    s.kind = Stmt::Kind::kMacro;
    if (current().kind != Kind::kName) return unexpected("the macro's name");
    s.text = current().text;
    next();
    BATON_TRY(signature(s));
    return closed_apart(std::move(s), "endmacro", "macro");
  }

  Result<Stmt> call(Stmt s) {
    s.kind = Stmt::Kind::kCall;
    s.text = "caller";
    if (is_op("(")) {
      BATON_TRY(signature(s));
    }
    BATON_TRY_ASSIGN(s.expr, expression());
    if (s.expr->kind != Expr::Kind::kCall) return at_line(s.line, "a call block needs a call");
    return closed_apart(std::move(s), "endcall", "call");
  }

  Result<Stmt> with(Stmt s) {
    s.kind = Stmt::Kind::kWith;
    while (current().kind != Kind::kBlockEnd) {
      if (!s.pairs.empty() && !skip_op(",")) return unexpected("','");
      BATON_TRY_ASSIGN(ExprPtr target, assign_target(false));
      if (!skip_op("=")) return unexpected("'='");
      BATON_TRY_ASSIGN(ExprPtr value, expression());
      s.pairs.emplace_back(std::move(target), std::move(value));
    }
    return closed(std::move(s), "endwith", "with");
  }

  int loops_ = 0;
};

}  // namespace

Result<Program> parse(std::vector<Token> tokens) { return Parser(std::move(tokens)).run(); }

}  // namespace baton::text::jinja
