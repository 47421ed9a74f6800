#include "cli/print.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/core/result.hpp"

namespace baton::cli {

namespace {

int lost = 0;  // errno of the first write to standard output that came to less; by main's thread

}  // namespace

void write(std::FILE* to, std::string_view text) {
  const bool whole = std::fwrite(text.data(), 1, text.size(), to) == text.size();
  if (!whole && to == stdout && lost == 0) lost = errno;
}

void write_standard_error(std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written <= 0) return;  // nothing can be done about a closed terminal
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

int exit_code_of(int code) {
  if (std::fflush(stdout) != 0 && lost == 0) lost = errno;
  if (lost == 0 || code != 0) return code;
  if (lost != EPIPE) cli::print(stderr, "baton: standard output: {}\n", std::strerror(lost));
  return exit_code(Code::kUnavailable);
}

}  // namespace baton::cli
