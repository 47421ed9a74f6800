#include "base/text/jinja.hpp"

#include <fmt/format.h>

#include "base/text/jinja/interpreter.hpp"
#include "base/text/jinja/lexer.hpp"
#include "base/text/jinja/parser.hpp"

namespace baton::text::jinja {

Result<Template> Template::compile(std::string_view source) {
  if (source.size() > kMaxTemplate) {
    return invalid(
        fmt::format("a template of {} bytes, over the limit of {}", source.size(), kMaxTemplate));
  }
  BATON_TRY_ASSIGN(std::vector<Token> tokens, lex(source));
  BATON_TRY_ASSIGN(Program program, parse(std::move(tokens)));
  return Template(std::make_shared<const Program>(std::move(program)));
}

Result<std::string> Template::render(const json::Object& context, const std::tm& now) const {
  return Interpreter(now).render(*program_, context);
}

}  // namespace baton::text::jinja
