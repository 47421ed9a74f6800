#include "base/text/line_diff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace baton::text {

namespace {

constexpr std::size_t kContext = 3;
constexpr std::size_t kMostPairs = 4'000'000;

using Lines = std::vector<std::string_view>;

// One line of the script: ' ' in both, '-' only before, '+' only after.
struct Step {
  char sign;
  std::string_view line;
};

Lines lines_of(std::string_view text) {
  Lines out;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

void replace_all(const Lines& a, const Lines& b, std::vector<Step>& out) {
  for (const auto line : a) out.push_back({'-', line});
  for (const auto line : b) out.push_back({'+', line});
}

// The longest common subsequence, by dynamic programming from the end.
void compare(const Lines& a, const Lines& b, std::vector<Step>& out) {
  if (a.empty() || b.empty() || a.size() > kMostPairs / b.size()) return replace_all(a, b, out);
  const std::size_t width = b.size() + 1;
  std::vector<std::uint32_t> common((a.size() + 1) * width);
  for (std::size_t i = a.size(); i-- > 0;) {
    for (std::size_t j = b.size(); j-- > 0;) {
      const auto here = i * width + j;
      common[here] = a[i] == b[j] ? common[here + width + 1] + 1
                                  : std::max(common[here + width], common[here + 1]);
    }
  }
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() && j < b.size()) {
    const auto here = i * width + j;
    if (a[i] == b[j]) {
      out.push_back({' ', a[i++]});
      ++j;
    } else if (common[here + width] >= common[here + 1]) {
      out.push_back({'-', a[i++]});
    } else {
      out.push_back({'+', b[j++]});
    }
  }
  for (; i < a.size(); ++i) out.push_back({'-', a[i]});
  for (; j < b.size(); ++j) out.push_back({'+', b[j]});
}

std::vector<Step> script(const Lines& a, const Lines& b) {
  const auto shorter = std::min(a.size(), b.size());
  std::size_t head = 0;
  while (head < shorter && a[head] == b[head]) ++head;
  std::size_t tail = 0;
  while (tail < shorter - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) ++tail;
  std::vector<Step> out;
  for (std::size_t i = 0; i < head; ++i) out.push_back({' ', a[i]});
  const auto middle = [&](const Lines& all) {
    return Lines(all.begin() + static_cast<std::ptrdiff_t>(head),
                 all.end() - static_cast<std::ptrdiff_t>(tail));
  };
  compare(middle(a), middle(b), out);
  for (std::size_t i = a.size() - tail; i < a.size(); ++i) out.push_back({' ', a[i]});
  return out;
}

// "12,3": the first line's number and how many; of none, the number of the line before.
std::string range(std::size_t before, std::size_t count) {
  return fmt::format("{},{}", count == 0 ? before : before + 1, count);
}

}  // namespace

std::string line_diff(std::string_view before, std::string_view after) {
  const auto steps = script(lines_of(before), lines_of(after));
  std::string out;
  std::size_t old_line = 0;  // lines passed
  std::size_t new_line = 0;
  std::size_t at = 0;
  const auto pass = [&](std::size_t to) {
    for (; at < to; ++at) {
      old_line += steps[at].sign == '+' ? 0 : 1;
      new_line += steps[at].sign == '-' ? 0 : 1;
    }
  };
  const auto next_change = [&](std::size_t from) {
    while (from < steps.size() && steps[from].sign == ' ') ++from;
    return from;
  };
  for (auto change = next_change(0); change < steps.size(); change = next_change(at)) {
    pass(std::max(at, change - std::min(change, kContext)));
    // To where more than two contexts of lines are equal.
    auto end = change;
    for (auto next = change; next < steps.size() && next <= end + 2 * kContext + 1;
         next = next_change(next + 1)) {
      end = next;
    }
    end = std::min(end + 1 + kContext, steps.size());
    const auto old_from = old_line;
    const auto new_from = new_line;
    const auto from = at;
    pass(end);
    out += fmt::format("@@ -{} +{} @@\n", range(old_from, old_line - old_from),
                       range(new_from, new_line - new_from));
    for (auto i = from; i < end; ++i) out += fmt::format("{}{}\n", steps[i].sign, steps[i].line);
  }
  return out;
}

}  // namespace baton::text
