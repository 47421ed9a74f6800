#pragma once
// What commands write to their two standard streams. A stream that takes nothing more (a full disk,
// a reader that has left) is no reason to end what serves: these do not throw, as fmt::print would.

#include <fmt/format.h>

#include <cstdio>
#include <string_view>
#include <utility>

namespace baton::cli {

// What cannot be written is dropped; exit_code_of() tells of it for standard output.
void write(std::FILE* to, std::string_view text);

template <class... Args>
void print(std::FILE* to, fmt::format_string<Args...> format, Args&&... args) {
  write(to, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void print(fmt::format_string<Args...> format, Args&&... args) {
  write(stdout, fmt::format(format, std::forward<Args>(args)...));
}

// Standard output, for who reads along. What is lost in it counts as what write() drops does.
void flush();

// To standard error at once, past its buffer: what a screen or a progress bar draws.
void write_standard_error(std::string_view text);

// At the end of a process that came to `code`. When part of what was printed did not reach standard
// output, there is a line about it, unless its reader has left, and success is kUnavailable's code.
int exit_code_of(int code);

}  // namespace baton::cli
