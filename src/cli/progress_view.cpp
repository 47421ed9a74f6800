#include "cli/progress_view.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "cli/print.hpp"

namespace baton::cli {

namespace {

constexpr Nanos kRedraw = Millis(100);
constexpr Nanos kNextLine = std::chrono::seconds(5);
constexpr std::size_t kBar = 20;  // characters

std::size_t columns() {
  winsize size{};
  const bool told = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return told ? size.ws_col : 80;
}

unsigned percent(std::uint64_t have, std::uint64_t total) {
  return total == 0 ? 100
                    : static_cast<unsigned>(100.0 * static_cast<double>(have) /
                                            static_cast<double>(total));
}

}  // namespace

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double amount = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (amount >= 999.5 && unit + 1 < kUnits.size()) {
    amount /= 1000;
    ++unit;
  }
  const int digits = amount < 9.995 ? 2 : amount < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", amount, digits, kUnits[unit]);
}

std::string time_text(Nanos time) {
  const auto left = std::chrono::ceil<std::chrono::seconds>(time).count();
  if (left < 60) return fmt::format("{} s", left);
  if (left < 3600) return fmt::format("{} min {} s", left / 60, left % 60);
  return fmt::format("{} h {} min", left / 3600, left / 60 % 60);
}

void Rate::note(Mono now, std::uint64_t bytes) {
  if (!samples_.empty() && bytes < samples_.back().second)
    samples_.clear();  // from the start again
  samples_.emplace_back(now, bytes);
  while (samples_.size() > 2 && samples_[1].first + kWindow < now) samples_.pop_front();
}

double Rate::per_second() const {
  if (samples_.size() < 2) return 0;
  const double time = seconds(samples_.back().first - samples_.front().first);
  const auto bytes = static_cast<double>(samples_.back().second - samples_.front().second);
  return time > 0 ? bytes / time : 0;
}

std::string progress_line(const Share& s) {
  const bool bytes = s.unit == Unit::kBytes;
  const auto amount = [&](std::uint64_t n) { return bytes ? bytes_text(n) : std::to_string(n); };
  std::string out =
      fmt::format("{} %, {} of {}", percent(s.have, s.total), amount(s.have), amount(s.total));
  const bool moves = s.per_second >= 1 || (!bytes && s.per_second > 0);
  if (!moves || s.have >= s.total) return out;
  const double left = std::min(static_cast<double>(s.total - s.have) / s.per_second, 1e8);
  return out +
         fmt::format(
             ", {}/s, {} left",
             bytes ? bytes_text(static_cast<std::uint64_t>(s.per_second))
                   : fmt::format("{:.3g}", s.per_second),
             time_text(std::chrono::duration_cast<Nanos>(std::chrono::duration<double>(left))));
}

std::string progress_bar(std::string_view name, const Share& share, std::size_t columns) {
  const std::size_t full = kBar * percent(share.have, share.total) / 100;
  auto out = fmt::format("{} [{}{}] {}", name, std::string(full, '#'),
                         std::string(kBar - full, '.'), progress_line(share));
  return out.substr(0, columns);
}

bool ProgressView::standard_error_draws() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && terminal != nullptr &&
         std::string_view(terminal) != "dumb" && *terminal != '\0';
}

ProgressView ProgressView::of_standard_error(std::string name, const Clock& clock, Unit unit) {
  return {std::move(name), standard_error_draws() ? Style::kBar : Style::kLines,
          write_standard_error, clock, unit};
}

void ProgressView::expect(std::uint64_t bytes) { total_ = bytes; }

void ProgressView::have(std::uint64_t bytes) {
  const Mono now = clock_.now();
  rate_.note(now, bytes);
  if (total_ == 0 || now < next_) return;
  const bool first = next_ == Mono{};
  const Share share{bytes, total_, rate_.per_second(), unit_};
  next_ = now + (style_ == Style::kBar ? kRedraw : kNextLine);
  if (style_ == Style::kBar) {
    drawn_ = true;
    write_("\r\x1b[K" + progress_bar(name_, share, columns() - 1));
  } else if (!first && bytes < total_) {
    write_(fmt::format("{}: {}\n", name_, progress_line(share)));
  }
}

void ProgressView::say(std::string_view line) {
  clear();
  write_(fmt::format("{}: {}\n", name_, line));
}

void ProgressView::clear() {
  if (drawn_) write_("\r\x1b[K");
  drawn_ = false;
}

}  // namespace baton::cli
