#include "cli/flag_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

namespace baton::cli {

std::optional<bool> to_bool(std::string_view word) {
  for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (word == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

std::optional<Nanos> to_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, double>, 6> kUnits = {
      {{"ms", 1e6}, {"us", 1e3}, {"ns", 1}, {"h", 3600e9}, {"m", 60e9}, {"s", 1e9}}};
  constexpr double kYear = 365.0 * 24 * 3600e9;
  double total = 0;
  if (text == "0") return Nanos(0);
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    double count = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (failed != std::errc() || !(count >= 0)) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto* unit =
        std::ranges::find_if(kUnits, [&](const auto& u) { return text.starts_with(u.first); });
    if (unit == kUnits.end()) return std::nullopt;
    text.remove_prefix(unit->first.size());
    total += count * unit->second;
  }
  if (total > kYear) return std::nullopt;
  return Nanos(static_cast<std::int64_t>(total));
}

std::optional<std::int64_t> to_bytes(std::string_view text) {
  if (text.ends_with('B') || text.ends_with('b')) text.remove_suffix(1);
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 7> kUnits = {
      {{"Ki", 1 << 10},
       {"Mi", 1 << 20},
       {"Gi", 1 << 30},
       {"k", 1000},
       {"M", 1'000'000},
       {"G", 1'000'000'000},
       {"", 1}}};
  std::int64_t count = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (failed != std::errc() || count < 0) return std::nullopt;
  const std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const auto* unit = std::ranges::find(kUnits, suffix, [](const auto& u) { return u.first; });
  std::int64_t bytes = 0;
  if (unit == kUnits.end() || __builtin_mul_overflow(count, unit->second, &bytes)) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace baton::cli
