// Go durations: decimal numbers with units, "1h15m30.918s", or "0".

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdlib>

#include "routing/schedule/fields.hpp"

namespace baton::schedule {
namespace {

struct Unit {
  std::string_view name;
  double nanos;
};
constexpr std::array kUnits = {Unit{"ns", 1},  Unit{"us", 1e3}, Unit{"ms", 1e6},
                               Unit{"s", 1e9}, Unit{"m", 6e10}, Unit{"h", 3.6e12}};
constexpr double kMostNanos = 9.2e18;
constexpr std::size_t kMaxText = 64;

bool digit(char c) { return (c >= '0' && c <= '9') || c == '.'; }

}  // namespace

Result<Nanos> read_duration(std::string_view text) {
  const auto wrong = [&] {
    return invalid(fmt::format("'{}' is no duration such as 200ms, 5s or 1m30s", text));
  };
  if (text == "0") return Nanos(0);
  if (text.empty() || text.size() > kMaxText) return wrong();
  double total = 0;
  for (std::size_t i = 0; i < text.size();) {
    const auto begin = i;
    while (i < text.size() && digit(text[i])) ++i;
    const std::string number(text.substr(begin, i - begin));
    const auto unit_begin = i;
    while (i < text.size() && !digit(text[i])) ++i;
    const auto unit = text.substr(unit_begin, i - unit_begin);
    char* end = nullptr;
    const double value = std::strtod(number.c_str(), &end);
    const auto* known = kUnits.begin();
    while (known != kUnits.end() && known->name != unit) ++known;
    if (number.empty() || *end != '\0' || known == kUnits.end()) return wrong();
    total += value * known->nanos;
  }
  if (!(total <= kMostNanos)) return wrong();
  return Nanos(std::llround(total));
}

std::string format_duration(Nanos duration) {
  const auto nanos = duration.count();
  if (nanos % 1'000'000'000 == 0) return fmt::format("{}s", nanos / 1'000'000'000);
  if (nanos % 1'000'000 == 0) return fmt::format("{}ms", nanos / 1'000'000);
  return fmt::format("{}ns", nanos);
}

}  // namespace baton::schedule
