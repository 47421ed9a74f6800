#pragma once
// Files that hold credentials and certificates: small, and read whole.

#include <string>

#include "base/core/result.hpp"

namespace baton::kube {

inline constexpr std::size_t kMaxSmallFile = std::size_t{4} << 20;

// kNotFound: no such file. kDenied: not readable. kInvalid: over kMaxSmallFile, or no file.
Result<std::string> read_small_file(const std::string& path);
// As that, without white space at both ends. kInvalid: nothing else in it.
Result<std::string> read_word_file(const std::string& path);

}  // namespace baton::kube
