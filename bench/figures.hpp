#pragma once
// What a benchmark comes to: figures in a file, or none and why.

#include <string>
#include <string_view>
#include <utility>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::bench {

// Ends the program with status 1: what was wrong stands on standard error behind its name.
[[noreturn]] void fail(std::string_view why);

template <class T>
T must(Result<T> result) {
  if (!result) fail(result.error().message());
  return *std::move(result);
}

// A whole file; fails when it cannot be read or is empty.
std::string read_file(const std::string& name);

// `file` "": nowhere. Fails when it cannot be written.
void save(const text::json::Value& figures, const std::string& file);

}  // namespace baton::bench
