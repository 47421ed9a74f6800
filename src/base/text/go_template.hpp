#pragma once
// The part of Go's text/template that LLMInferenceService presets use: field paths, if / else /
// with / range, variables, pipelines, function calls, trim markers, comments. As with
// missingkey=error, a field that does not exist is an error, not "<no value>".

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::text::go_template {

inline constexpr std::size_t kMaxText = std::size_t{1} << 20;
inline constexpr std::size_t kMaxOutput = std::size_t{4} << 20;
inline constexpr std::size_t kMaxDepth = 64;  // nested blocks and parentheses

// What one template, or several together, may still use.
struct Budget {
  std::size_t steps = 100'000;                // nodes and operands evaluated
  std::size_t bytes = std::size_t{16} << 20;  // of values taken and text made
};

// What `{{-` and `-}}` remove. kWithinLine keeps line breaks: the Kubernetes controllers whose
// presets we read trim the JSON text of a spec, where a line break is not white space.
enum class Trim : bool { kAllSpace, kWithinLine };

using Function = std::function<Result<json::Value>(std::span<const json::Value>)>;

struct Options {
  std::map<std::string, Function, std::less<>> functions;  // besides the built-in ones
  Trim trim = Trim::kAllSpace;
  Budget* budget = nullptr;  // shared with other templates; null: one of its own
};

// Whether rendering can change the text at all.
inline bool has_actions(std::string_view text) { return text.contains("{{"); }

// Renders `text` with `data` as the dot. A field name finds the member of that name, or the one
// with a small first letter (`.Spec` finds "spec"). A null member is a nil pointer: false in
// conditions, an error when printed or looked into. Substituted values are not parsed again.
// kInvalid: "line 1, column 4: what". kExhausted: a limit.
Result<std::string> render(std::string_view text, const json::Value& data,
                           const Options& options = {});

// Go's idea of true: not null, false, 0, "", [], {}.
bool truth(const json::Value& value);

}  // namespace baton::text::go_template
