#pragma once
// YAML into json::Value, with the scalar rules Kubernetes tools use (YAML 1.1 as in goyaml v2).

#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::text::yaml {

inline constexpr std::size_t kMaxText = std::size_t{16} << 20;
inline constexpr std::size_t kMaxNodes = 1'000'000;  // after aliases are expanded
inline constexpr std::size_t kMaxDepth = 128;

struct Document {
  json::Value value;
  int line = 1;  // where it starts in the text, from 1
};

// Every document of a multi-document text; empty documents are left out.
// kInvalid: "<source>:<line>:<column>: what", duplicate keys, limits, non-scalar keys.
Result<std::vector<Document>> parse_all(std::string_view text, std::string_view source);

// The line, from 1, where the member or item that `pointer` (RFC 6901) names begins in the document
// that starts at `line`; of the nearest that is there, when it is not. Reads the text again: for
// messages.
int line_of(std::string_view text, int line, std::string_view pointer);

// Exactly one document.
Result<json::Value> parse(std::string_view text, std::string_view source);

// Block style; strings are quoted exactly when they would read as something else.
std::string dump(const json::Value& value);

}  // namespace baton::text::yaml
