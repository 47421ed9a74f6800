#include "cli/screen.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "cli/print.hpp"

namespace baton::cli {

namespace {

constexpr Screen::Size kUnknown{24, 80};

Screen::Size measure_standard_error() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
    return kUnknown;
  }
  return {size.ws_row, size.ws_col};
}

}  // namespace

Screen Screen::of_standard_error() { return {write_standard_error, measure_standard_error}; }

void Screen::print(std::string_view lines) {
  const std::scoped_lock lock(mutex_);
  const std::string above = erased() + std::string(lines);
  write_(above + fitted(table_));
}

void Screen::draw(std::string table) {
  const std::scoped_lock lock(mutex_);
  table_ = std::move(table);
  const std::string before = erased();
  write_(before + fitted(table_));
}

// Takes the table away; also what the terminal echoed behind it, like ^C.
std::string Screen::erased() const {
  if (shown_ == 0) return "\r\x1b[J";
  return fmt::format("\r\x1b[{}A\x1b[J", shown_);
}

// The text is ASCII but for what manifests name: a byte counts as a column, which errs to the
// short side.
std::string Screen::fitted(std::string_view table) {
  const auto [rows, columns] = measure_();
  const std::size_t room = std::max<std::size_t>(rows, 3) - 1;  // the cursor has a line of its own
  const auto lines = static_cast<std::size_t>(std::ranges::count(table, '\n'));
  const std::size_t kept = lines > room ? room - 1 : lines;
  std::string out;
  for (std::size_t i = 0; i < kept; ++i) {
    const auto line = table.substr(0, table.find('\n'));
    table.remove_prefix(line.size() + 1);
    out += line.substr(0, columns - 1);
    out += '\n';
  }
  if (kept < lines) out += fmt::format("and {} more lines\n", lines - kept);
  shown_ = kept + (kept < lines ? 1 : 0);
  return out;
}

}  // namespace baton::cli
