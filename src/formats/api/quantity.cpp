#include "formats/api/quantity.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>

namespace baton::api {
namespace {

struct Suffix {
  std::string_view text;
  long double factor;
};
constexpr Suffix kSuffixes[] = {{"", 1},         {"n", 1e-9L},    {"u", 1e-6L},    {"m", 1e-3L},
                                {"k", 1e3L},     {"M", 1e6L},     {"G", 1e9L},     {"T", 1e12L},
                                {"P", 1e15L},    {"E", 1e18L},    {"Ki", 0x1p10L}, {"Mi", 0x1p20L},
                                {"Gi", 0x1p30L}, {"Ti", 0x1p40L}, {"Pi", 0x1p50L}, {"Ei", 0x1p60L}};

// The largest suffix by which the number stays whole, those of 1024 first.
std::string canonical(std::int64_t number) {
  for (const std::int64_t step : {1024, 1000}) {
    std::int64_t rest = number;
    std::size_t power = 0;
    while (rest != 0 && rest % step == 0) {
      rest /= step;
      ++power;
    }
    if (power == 0) continue;
    return fmt::format("{}{}{}", rest, (step == 1024 ? "KMGTPE" : "kMGTPE")[power - 1],
                       step == 1024 ? "i" : "");
  }
  return fmt::format("{}", number);
}

}  // namespace

Result<std::int64_t> quantity(const text::json::Value& value) {
  const std::string text = value.is_string() ? *value.if_string() : text::json::dump(value);
  const auto wrong = [&] {
    return invalid(fmt::format("expected a quantity such as 10Gi, is {}", text::json::dump(value)));
  };
  long double number = 0;  // holds every int64
  const char* end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, number);
  if (ec != std::errc() || !std::isfinite(number)) return wrong();
  const std::string_view suffix(rest, static_cast<std::size_t>(end - rest));
  for (const Suffix& known : kSuffixes) {
    if (known.text != suffix) continue;
    const long double scaled = number * known.factor;
    const long double nearest = std::round(scaled);  // what is whole but for its last bits
    const bool whole = std::fabs(scaled - nearest) <= std::fabs(scaled) * 0x1p-62L;
    const long double exact = whole ? nearest : std::ceil(scaled);
    if (std::fabs(exact) >= 0x1p63L) return wrong();
    return static_cast<std::int64_t>(exact);
  }
  return wrong();
}

Result<std::string> sum_of_quantities(const text::json::Value& one,
                                      const text::json::Value& other) {
  BATON_TRY_ASSIGN(const std::int64_t left, quantity(one));
  BATON_TRY_ASSIGN(const std::int64_t right, quantity(other));
  std::int64_t sum = 0;
  if (__builtin_add_overflow(left, right, &sum)) {
    return invalid(fmt::format("{} and {} together are beyond 63 bits", text::json::dump(one),
                               text::json::dump(other)));
  }
  return canonical(sum);
}

}  // namespace baton::api
