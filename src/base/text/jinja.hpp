#pragma once
// Jinja2 as Hugging Face chat templates use it: the environment of `transformers` (trim_blocks,
// lstrip_blocks, loop controls, {% generation %}, raise_exception, strftime_now, tojson as
// json.dumps with ensure_ascii=False) and its sandbox: values cannot be changed, except attributes
// of a namespace.

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::text::jinja {

inline constexpr std::size_t kMaxTemplate = std::size_t{1} << 20;  // bytes of source
inline constexpr std::size_t kMaxNesting = 150;                    // of expressions, blocks, lists
inline constexpr std::size_t kMaxCalls = 40;                       // macros within macros
inline constexpr std::size_t kMaxOutput = std::size_t{64} << 20;   // bytes
inline constexpr std::size_t kMaxWork = std::size_t{16} << 20;     // nodes, items and 8-byte words

struct Program;

// Immutable: render from any number of threads.
class Template {
 public:
  // kInvalid: "line N: what".
  static Result<Template> compile(std::string_view source);

  // `now` is the local time that strftime_now sees.
  // kInvalid: raise_exception (its text alone), "line N: what" for the rest. kExhausted: a limit.
  Result<std::string> render(const json::Object& context, const std::tm& now) const;

 private:
  explicit Template(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;  // shared: immutable
};

}  // namespace baton::text::jinja
