#pragma once
// An expression as tokenizer.json has them (Oniguruma's syntax), run by PCRE2 with Unicode
// properties.

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/result.hpp"

namespace baton::token {

inline constexpr std::size_t kMaxPattern = 64 << 10;

using Span = std::pair<std::size_t, std::size_t>;  // from, to: bytes

// Immutable: match from any number of threads.
class Regex {
 public:
  static Result<Regex> compile(std::string_view pattern);
  // Appends every match in order, empty ones left out. `text` is valid UTF-8. kExhausted: the match
  // limit.
  Status find_all(std::string_view text, std::vector<Span>& out) const;

 private:
  struct Free {
    void operator()(void* code) const;
  };
  std::unique_ptr<void, Free> code_;
  bool fast_ = false;  // by the just-in-time compiler
};

}  // namespace baton::token
