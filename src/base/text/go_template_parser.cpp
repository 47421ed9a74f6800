#include <fmt/format.h>

#include <charconv>
#include <span>

#include "base/text/go_template_lexer.hpp"
#include "base/text/go_template_syntax.hpp"

namespace baton::text::go_template::detail {
namespace {

using Kind = Token::Kind;

class Parser {
 public:
  explicit Parser(std::span<const Token> tokens) : tokens_(tokens) {}

  Result<Body> run() {
    BATON_TRY_ASSIGN(Body body, this->body(0));
    if (peek().kind != Kind::kEnd) return error_at(peek().at, "'end' or 'else' without a block");
    return body;
  }

 private:
  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  const Token& next() {
    const Token& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool is_punct(std::string_view text, std::size_t ahead = 0) const {
    return peek(ahead).kind == Kind::kPunct && peek(ahead).text == text;
  }
  // `{{ word`
  bool opens(std::string_view word) const {
    return peek().kind == Kind::kOpen && peek(1).kind == Kind::kWord && peek(1).text == word;
  }
  Status close() {
    if (peek().kind == Kind::kClose) {
      next();
      return {};
    }
    return error_at(peek().at, fmt::format("unexpected '{}' where '}}}}' is due", peek().text));
  }

  // Up to `{{ end`, `{{ else` or the end of the text, which stay unread.
  Result<Body> body(std::size_t depth) {
    if (depth > kMaxDepth) return error_at(peek().at, "blocks are nested too deep");
    Body out;
    while (peek().kind != Kind::kEnd && !opens("end") && !opens("else")) {
      BATON_TRY_ASSIGN(Node node, this->node(depth));
      out.push_back(std::move(node));
    }
    return out;
  }

  Result<Node> node(std::size_t depth) {
    const Position at = peek().at;
    if (peek().kind == Kind::kText) return Node{at, Text{next().text}};
    next();  // {{
    if (peek().kind == Kind::kWord) {
      const std::string word = peek().text;
      if (word == "if" || word == "with" || word == "range") {
        next();
        if (word == "if") return if_node(at, depth);
        return word == "with" ? with_node(at, depth) : range_node(at, depth);
      }
      for (const std::string_view refused : {"define", "template", "block", "break", "continue"}) {
        if (word == refused) return error_at(at, fmt::format("'{}' is not supported", word));
      }
    }
    BATON_TRY_ASSIGN(Pipeline pipe, pipeline(depth));
    BATON_TRY(close());
    return Node{at, std::move(pipe)};
  }

  Result<Branch> branch(std::size_t depth) {
    BATON_TRY_ASSIGN(Pipeline condition, pipeline(depth));
    BATON_TRY(close());
    BATON_TRY_ASSIGN(Body body, this->body(depth + 1));
    return Branch{std::move(condition), std::move(body)};
  }

  // `{{ else }}… {{ end }}` or `{{ end }}`.
  Result<Body> rest(Position at, std::size_t depth) {
    Body otherwise;
    if (opens("else")) {
      next();
      next();
      BATON_TRY(close());
      BATON_TRY_ASSIGN(otherwise, body(depth + 1));
    }
    if (!opens("end")) return error_at(at, "block without 'end'");
    next();
    next();
    BATON_TRY(close());
    return otherwise;
  }

  Result<Node> if_node(Position at, std::size_t depth) {
    If node;
    while (true) {
      BATON_TRY_ASSIGN(Branch one, branch(depth));
      node.branches.push_back(std::move(one));
      const bool else_if = opens("else") && peek(2).kind == Kind::kWord && peek(2).text == "if";
      if (!else_if) break;
      next();
      next();
      next();
    }
    BATON_TRY_ASSIGN(node.otherwise, rest(at, depth));
    return Node{at, std::move(node)};
  }

  Result<Node> with_node(Position at, std::size_t depth) {
    BATON_TRY_ASSIGN(Branch one, branch(depth));
    BATON_TRY_ASSIGN(Body otherwise, rest(at, depth));
    return Node{at, With{std::move(one), std::move(otherwise)}};
  }

  // `range p`, `range $v := p`, `range $i, $v := p`.
  Result<Node> range_node(Position at, std::size_t depth) {
    Range node;
    if (peek().kind == Kind::kVariable && is_punct(",", 1) && peek(2).kind == Kind::kVariable &&
        is_punct(":=", 3)) {
      node.key = next().text;
      next();
    }
    if (peek().kind == Kind::kVariable && is_punct(":=", 1)) {
      node.value = next().text;
      next();
    }
    BATON_TRY_ASSIGN(node.branch, branch(depth));
    BATON_TRY_ASSIGN(node.otherwise, rest(at, depth));
    return Node{at, std::move(node)};
  }

  Result<Pipeline> pipeline(std::size_t depth) {
    if (depth > kMaxDepth) return error_at(peek().at, "parentheses are nested too deep");
    Pipeline pipe{.at = peek().at, .variable = "", .declares = false, .commands = {}};
    if (peek().kind == Kind::kVariable && (is_punct(":=", 1) || is_punct("=", 1))) {
      pipe.variable = next().text;
      pipe.declares = next().text == ":=";
    }
    while (true) {
      BATON_TRY_ASSIGN(Command one, command(depth));
      pipe.commands.push_back(std::move(one));
      if (!is_punct("|")) return pipe;
      next();
    }
  }

  Result<Command> command(std::size_t depth) {
    Command out;
    while (peek().kind != Kind::kClose && !is_punct(")") && !is_punct("|")) {
      BATON_TRY_ASSIGN(Operand one, operand(depth));
      out.push_back(std::move(one));
    }
    if (out.empty()) return error_at(peek().at, "missing value");
    return out;
  }

  Result<Operand> operand(std::size_t depth) {
    Operand out;
    const Token& token = next();
    switch (token.kind) {
      case Kind::kField:
        if (!token.text.empty()) out.fields.push_back(token.text);
        break;
      case Kind::kVariable:
        out.root = Variable{token.text};
        break;
      case Kind::kString:
        out.root = json::Value(token.text);
        break;
      case Kind::kNumber: {
        BATON_TRY_ASSIGN(out.root, number(token));
        break;
      }
      case Kind::kWord:
        out.root = word(token.text);
        break;
      default: {
        if (token.kind != Kind::kPunct || token.text != "(") {
          return error_at(token.at, fmt::format("unexpected '{}'", token.text));
        }
        BATON_TRY_ASSIGN(Pipeline inner, pipeline(depth + 1));
        if (!is_punct(")")) return error_at(token.at, "'(' without ')'");
        next();
        out.root = std::make_unique<Pipeline>(std::move(inner));
      }
    }
    while (peek().kind == Kind::kField && !peek().after_space) out.fields.push_back(next().text);
    return out;
  }

  static Root word(const std::string& text) {
    if (text == "true") return json::Value(true);
    if (text == "false") return json::Value(false);
    if (text == "nil") return json::Value();
    return Call{text};
  }

  static Result<json::Value> number(const Token& token) {
    std::string_view text = token.text;
    if (text.starts_with('+')) text.remove_prefix(1);
    const char* end = text.data() + text.size();
    std::int64_t integer = 0;
    if (const auto r = std::from_chars(text.data(), end, integer);
        r.ec == std::errc() && r.ptr == end) {
      return json::Value(integer);
    }
    double real = 0;
    if (const auto r = std::from_chars(text.data(), end, real);
        r.ec == std::errc() && r.ptr == end) {
      return json::Value(real);
    }
    return error_at(token.at, fmt::format("'{}' is no number", token.text));
  }

  std::span<const Token> tokens_;
  std::size_t at_ = 0;
};

}  // namespace

Result<Body> parse(std::string_view text, Trim trim) {
  BATON_TRY_ASSIGN(const std::vector<Token> all, tokens(text, trim));
  return Parser(all).run();
}

}  // namespace baton::text::go_template::detail
