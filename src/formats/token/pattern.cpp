#include "formats/token/pattern.hpp"

#include <fmt/format.h>

namespace baton::token {

using text::json::Value;

bool flag(const Value& v, std::string_view key, bool otherwise) {
  const Value* member = v.find(key);
  const bool* b = member == nullptr ? nullptr : member->if_bool();
  return b == nullptr ? otherwise : *b;
}

Error no_such(const std::string& at, std::string_view what, std::string_view type) {
  return unsupported(fmt::format("{}: {} of type '{}'", at, what, type));
}

Result<Pattern> Pattern::regex(std::string_view expression) {
  Pattern out;
  BATON_TRY_ASSIGN(out.regex_, Regex::compile(expression));
  out.by_regex_ = true;
  return out;
}

Pattern Pattern::literal(std::string text) {
  Pattern out;
  out.literal_ = std::move(text);
  return out;
}

Result<Pattern> Pattern::read(const Value& step, const std::string& at) {
  const Value* pattern = step.find("pattern");
  if (pattern == nullptr) return invalid(at + "/pattern: missing");
  if (const Value* expression = pattern->find("Regex");
      expression != nullptr && expression->is_string()) {
    return regex(*expression->if_string()).with(at + "/pattern");
  }
  const Value* text = pattern->is_string() ? pattern : pattern->find("String");
  if (text == nullptr || !text->is_string())
    return invalid(at + "/pattern: expected String or Regex");
  if (text->if_string()->empty()) return invalid(at + "/pattern: an empty string");
  return literal(*text->if_string());
}

Status Pattern::find_all(std::string_view text, std::vector<Span>& out) const {
  if (by_regex_) return regex_.find_all(text, out);
  for (std::size_t at = text.find(literal_); at != std::string_view::npos;
       at = text.find(literal_, at + literal_.size())) {
    out.emplace_back(at, at + literal_.size());
  }
  return {};
}

}  // namespace baton::token
