#include "routing/schedule/usage_expression.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "base/core/nearest.hpp"

namespace baton::schedule {
namespace {

using Node = UsageExpression::Node;
using Step = UsageExpression::Step;
using Field = UsageExpression::Field;
using Type = UsageExpression::Type;

constexpr std::array<std::pair<std::string_view, Field>, 4> kFields = {{
    {"prompt_tokens", Field::kPrompt},
    {"completion_tokens", Field::kCompletion},
    {"total_tokens", Field::kTotal},
    {"prompt_tokens_details.cached_tokens", Field::kCached},
}};

bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Recursive descent. After a failure everything parses as a number and nothing is consumed.
class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view text) : text_(text) {}

  struct Part {
    std::uint32_t node = 0;
    Type type = Type::kNumber;
  };

  Result<std::vector<Node>> parse(Type wanted) {
    const auto whole = expression();
    skip();
    if (at_ < text_.size()) fail("an operator is missing");
    if (whole.type != wanted) {
      fail(wanted == Type::kNumber ? "it must come to a number" : "it must come to true or false");
    }
    if (!problem_.empty()) return invalid(problem_);
    return std::move(nodes_);
  }

 private:
  Part expression() {
    if (++nested_ > UsageExpression::kMostNested) {
      fail("it is nested too deeply");
      return {};
    }
    auto out = either();
    if (take("?")) {
      want(out, Type::kBoolean);
      const auto yes = expression();
      if (!take(":")) fail("':' is missing");
      const auto no = expression();
      if (yes.type != no.type) fail("both sides of ':' must be of one type");
      out = add({.step = Step::kChoose, .a = out.node, .b = yes.node, .c = no.node}, yes.type);
    }
    --nested_;
    return out;
  }

  Part either() {
    auto out = both();
    while (take("||")) out = joined(Step::kOr, out, both(), Type::kBoolean, Type::kBoolean);
    return out;
  }

  Part both() {
    auto out = comparison();
    while (take("&&")) out = joined(Step::kAnd, out, comparison(), Type::kBoolean, Type::kBoolean);
    return out;
  }

  Part comparison() {
    const auto left = sum();
    if (take("<=")) return compared(Step::kLessOrEqual, left, sum());
    if (take(">=")) return compared(Step::kLessOrEqual, sum(), left);
    if (take("==")) return compared(Step::kEqual, left, sum());
    if (take("!=")) return compared(Step::kNotEqual, left, sum());
    if (take("<")) return compared(Step::kLess, left, sum());
    if (take(">")) return compared(Step::kLess, sum(), left);
    return left;
  }

  Part sum() {
    auto out = product();
    for (;;) {
      if (take("+")) {
        out = computed(Step::kAdd, out, product());
      } else if (take("-")) {
        out = computed(Step::kSubtract, out, product());
      } else {
        return out;
      }
    }
  }

  Part product() {
    auto out = unary();
    for (;;) {
      if (take("*")) {
        out = computed(Step::kMultiply, out, unary());
      } else if (take("/")) {
        out = computed(Step::kDivide, out, unary());
      } else if (take("%")) {
        out = computed(Step::kRemainder, out, unary());
      } else {
        return out;
      }
    }
  }

  Part unary() {
    std::size_t minuses = 0, nots = 0;
    while (take("-")) ++minuses;
    while (minuses == 0 && take("!")) ++nots;
    const auto out = primary();
    if (minuses > 0) want(out, Type::kNumber);
    if (nots > 0) want(out, Type::kBoolean);
    if (minuses % 2 == 1) return add({.step = Step::kNegate, .a = out.node}, Type::kNumber);
    if (nots % 2 == 1) return add({.step = Step::kNot, .a = out.node}, Type::kBoolean);
    return out;
  }

  Part primary() {
    skip();
    if (take("(")) return closed(expression());
    if (at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '.')) return number();
    const auto word = name();
    if (word == "true" || word == "false") {
      return add({.constant = word == "true" ? 1.0 : 0.0}, Type::kBoolean);
    }
    if (word == "usage") return add({.step = Step::kField, .field = field()}, Type::kNumber);
    if (word == "has" && take("(")) {
      if (name() != "usage") fail("has() takes a field of usage");
      return closed(add({.step = Step::kHas, .field = field()}, Type::kBoolean));
    }
    if ((word == "int" || word == "uint" || word == "double") && take("(")) {
      const auto inner = closed(expression());
      want(inner, Type::kNumber);
      if (word == "double") return inner;
      return add({.step = Step::kTruncate, .a = inner.node}, Type::kNumber);
    }
    fail(word.empty() ? std::string("a number or a field of usage is missing")
                      : fmt::format("'{}' is not known here", word));
    return {};
  }

  Part number() {
    double value = 0;
    const auto* from = text_.data() + at_;
    const auto [end, failed] = std::from_chars(from, text_.data() + text_.size(), value);
    if (failed != std::errc()) {
      fail("no number");
      return {};
    }
    at_ += static_cast<std::size_t>(end - from);
    if (at_ < text_.size() && (text_[at_] == 'u' || text_[at_] == 'U')) ++at_;
    return add({.constant = value}, Type::kNumber);
  }

  // Behind `usage`: ".prompt_tokens" or "['prompt_tokens']", through objects.
  Field field() {
    std::string path;
    for (;;) {
      std::string_view member;
      if (take("[")) {
        member = quoted();
        if (!take("]")) fail("']' is missing");
      } else if (take(".")) {
        member = name();
      } else {
        break;
      }
      if (!path.empty()) path += '.';
      path += member;
      if (!problem_.empty()) break;
    }
    std::array<std::string_view, kFields.size()> known;
    std::ranges::transform(kFields, known.begin(), [](const auto& each) { return each.first; });
    const auto found = std::ranges::find(known, path);
    if (found == known.end()) {
      fail(fmt::format("usage has no field '{}'{}", path, did_you_mean(path, known)));
      return Field::kPrompt;
    }
    return kFields[static_cast<std::size_t>(found - known.begin())].second;
  }

  std::string_view quoted() {
    skip();
    const char mark = at_ < text_.size() ? text_[at_] : ' ';
    const auto end = mark == '"' || mark == '\'' ? text_.find(mark, at_ + 1) : text_.npos;
    if (end == std::string_view::npos) {
      fail("a field's name in quotes is missing");
      return {};
    }
    const auto out = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return out;
  }

  std::string_view name() {
    skip();
    const auto from = at_;
    while (at_ < text_.size() &&
           (begins_name(text_[at_]) || (at_ > from && is_digit(text_[at_])))) {
      ++at_;
    }
    return text_.substr(from, at_ - from);
  }

  Part closed(Part inner) {
    if (!take(")")) fail("')' is missing");
    return inner;
  }

  Part compared(Step step, Part a, Part b) {
    if (a.type != b.type) fail("a number is compared with true or false");
    const bool ordered = step == Step::kLess || step == Step::kLessOrEqual;
    if (ordered) want(a, Type::kNumber);
    return add({.step = step, .a = a.node, .b = b.node}, Type::kBoolean);
  }
  Part computed(Step step, Part a, Part b) {
    return joined(step, a, b, Type::kNumber, Type::kNumber);
  }
  Part joined(Step step, Part a, Part b, Type of, Type to) {
    want(a, of);
    want(b, of);
    return add({.step = step, .a = a.node, .b = b.node}, to);
  }
  void want(Part part, Type type) {
    if (part.type != type) {
      fail(type == Type::kNumber ? "a number is expected" : "true or false is expected");
    }
  }

  Part add(Node node, Type type) {
    nodes_.push_back(node);
    return {static_cast<std::uint32_t>(nodes_.size() - 1), type};
  }

  void skip() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }
  bool take(std::string_view token) {
    if (!problem_.empty()) return false;
    skip();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  void fail(std::string_view why) {
    if (problem_.empty()) problem_ = fmt::format("at character {}: {}", at_ + 1, why);
    at_ = text_.size();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int nested_ = 0;
  std::vector<Node> nodes_;
  std::string problem_;
};

std::optional<double> count(Field field, const TokenCounts& counts) {
  const std::array<std::optional<std::uint64_t>, 4> all = {counts.prompt, counts.completion,
                                                           counts.total, counts.cached};
  const auto value = all.at(static_cast<std::size_t>(field));
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

double combined(Step step, double a, double b) {
  switch (step) {
    case Step::kAdd:
      return a + b;
    case Step::kSubtract:
      return a - b;
    case Step::kMultiply:
      return a * b;
    case Step::kDivide:
      return a / b;
    case Step::kRemainder:
      return std::fmod(a, b);
    case Step::kLess:
      return a < b ? 1 : 0;
    case Step::kLessOrEqual:
      return a <= b ? 1 : 0;
    case Step::kEqual:
      return a == b ? 1 : 0;
    default:
      return a != b ? 1 : 0;
  }
}

}  // namespace

Result<UsageExpression> UsageExpression::parse(std::string_view text, Type type) {
  if (text.size() > kMostBytes) return invalid(fmt::format("longer than {} bytes", kMostBytes));
  UsageExpression out;
  BATON_TRY_ASSIGN(out.nodes_, ExpressionParser(text).parse(type));
  return out;
}

std::optional<double> UsageExpression::of(const TokenCounts& counts) const {
  const auto value = at(static_cast<std::uint32_t>(nodes_.size() - 1), counts);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<double> UsageExpression::at(std::uint32_t node, const TokenCounts& counts) const {
  const auto& n = nodes_[node];
  switch (n.step) {
    case Step::kConstant:
      return n.constant;
    case Step::kField:
      return count(n.field, counts);
    case Step::kHas:
      return count(n.field, counts) ? 1 : 0;
    case Step::kChoose: {
      const auto which = at(n.a, counts);
      if (!which) return std::nullopt;
      return at(*which != 0 ? n.b : n.c, counts);
    }
    default:
      break;
  }
  const auto a = at(n.a, counts);
  if (n.step == Step::kAnd || n.step == Step::kOr) {
    // One side decides when it can, whatever the other one lacks.
    const double decides = n.step == Step::kOr ? 1 : 0;
    if (a && *a == decides) return a;
    const auto b = at(n.b, counts);
    return b && (a || *b == decides) ? b : std::nullopt;
  }
  if (!a) return std::nullopt;
  if (n.step == Step::kNegate) return -*a;
  if (n.step == Step::kNot) return 1 - *a;
  if (n.step == Step::kTruncate) return std::trunc(*a);
  const auto b = at(n.b, counts);
  return b ? std::optional(combined(n.step, *a, *b)) : std::nullopt;
}

}  // namespace baton::schedule
