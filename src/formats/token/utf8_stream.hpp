#pragma once
// Bytes in pieces to valid UTF-8: every maximal part of a broken character becomes one U+FFFD
// (Unicode 3.9, as Rust's from_utf8_lossy and Python's errors='replace').

#include <cstdint>
#include <string>
#include <string_view>

namespace baton::token {

class Utf8Stream {
 public:
  // Appends to `out`; an incomplete character at the end is held back.
  void push(std::string_view bytes, std::string& out);
  void finish(std::string& out);

 private:
  std::string held_;          // at most 3 bytes
  std::uint8_t missing_ = 0;  // bytes the held character still needs
};

}  // namespace baton::token
