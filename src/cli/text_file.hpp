#pragma once
// A whole file, for flags that name one.

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "base/core/result.hpp"

namespace baton::cli {

// kNotFound: "cannot read FILE: why".
inline Result<std::string> read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return not_found("cannot read " + path + ": " + std::strerror(errno));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace baton::cli
