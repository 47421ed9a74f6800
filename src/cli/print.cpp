#include "cli/print.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/core/result.hpp"

namespace baton::cli {

namespace {

// errno of the first write to standard output that came to less; one thread prints at a time.
int lost = 0;

}  // namespace

void write(std::FILE* to, std::string_view text) {
  const bool whole = std::fwrite(text.data(), 1, text.size(), to) == text.size();
  if (!whole && to == stdout && lost == 0) lost = errno;
}

void flush() {
  if (std::fflush(stdout) != 0 && lost == 0) lost = errno;
}

void write_standard_error(std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;  // nothing can be done about a closed terminal
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

int exit_code_of(int code) {
  flush();
  if (lost == 0) return code;
  if (lost != EPIPE) cli::print(stderr, "baton: standard output: {}\n", std::strerror(lost));
  return code != 0 ? code : exit_code(Code::kUnavailable);
}

}  // namespace baton::cli
