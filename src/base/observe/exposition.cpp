#include "base/observe/exposition.hpp"

#include <charconv>
#include <limits>

#include "base/core/trim.hpp"

namespace baton::observe {
namespace {

// The position of the closing brace; quoted values may hold braces and escaped quotes.
std::size_t closing_brace(std::string_view s, std::size_t from) {
  bool quoted = false;
  for (std::size_t i = from; i < s.size(); ++i) {
    if (quoted && s[i] == '\\') {
      ++i;
    } else if (s[i] == '"') {
      quoted = !quoted;
    } else if (s[i] == '}' && !quoted) {
      return i;
    }
  }
  return std::string_view::npos;
}

std::optional<double> value_of(std::string_view s) {
  if (s == "+Inf" || s == "Inf") return std::numeric_limits<double>::infinity();
  if (s == "-Inf") return -std::numeric_limits<double>::infinity();
  if (s == "NaN") return std::numeric_limits<double>::quiet_NaN();
  double d = 0;
  const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), d);
  if (ec != std::errc() || end != s.data() + s.size() || s.empty()) return std::nullopt;
  return d;
}

std::optional<Sample> sample_of(std::string_view line) {
  Sample out;
  std::string_view rest;
  if (const std::size_t brace = line.find('{'); brace != std::string_view::npos) {
    const std::size_t close = closing_brace(line, brace + 1);
    if (close == std::string_view::npos) return std::nullopt;
    out.name = trim(line.substr(0, brace), " \t\r");
    out.labels = line.substr(brace + 1, close - brace - 1);
    rest = trim(line.substr(close + 1), " \t\r");
  } else {
    const std::size_t space = line.find_first_of(" \t");
    if (space == std::string_view::npos) return std::nullopt;
    out.name = line.substr(0, space);
    rest = trim(line.substr(space), " \t\r");
  }
  rest = rest.substr(0, rest.find_first_of(" \t"));  // a timestamp may follow
  const auto value = value_of(rest);
  if (!value || out.name.empty()) return std::nullopt;
  out.value = *value;
  return out;
}

}  // namespace

std::optional<Sample> ExpositionReader::next() {
  while (!rest_.empty()) {
    const std::size_t end = rest_.find('\n');
    const std::string_view line = trim(rest_.substr(0, end), " \t\r");
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (line.empty() || line.front() == '#') continue;
    if (auto sample = sample_of(line)) return sample;
    ++malformed_;
  }
  return std::nullopt;
}

std::optional<std::string_view> label(std::string_view labels, std::string_view key) {
  std::size_t at = 0;
  while (at < labels.size()) {
    const std::size_t equals = labels.find("=\"", at);
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view name = trim(labels.substr(at, equals - at), " \t\r");
    std::size_t end = equals + 2;
    while (end < labels.size() && labels[end] != '"') end += labels[end] == '\\' ? 2 : 1;
    if (end >= labels.size()) return std::nullopt;
    if (name == key) return labels.substr(equals + 2, end - equals - 2);
    at = end + 1;
    while (at < labels.size() && (labels[at] == ',' || labels[at] == ' ')) ++at;
  }
  return std::nullopt;
}

}  // namespace baton::observe
