#include "base/core/log.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <ctime>
#include <utility>

namespace baton::log {
namespace {

struct Settings {
  Level level = Level::kInfo;
  Style style = Style::kText;
  std::string component;
  Sink sink;
};

Settings& settings() {
  static Settings instance;
  return instance;
}

constexpr std::array<std::string_view, 6> kNames{"trace", "debug", "info", "warn", "error", "off"};

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

bool plain(std::string_view text) {
  return !text.empty() && text.find_first_of(" \t\r\n\"\\=") == std::string_view::npos;
}

std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()) % 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03d}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms.count());
}

std::string json_line(Level level, std::string_view message, Fields fields) {
  std::string line =
      fmt::format(R"({{"time":"{}","level":"{}","component":"{}","message":)", timestamp(),
                  kNames[std::to_underlying(level)], settings().component);
  append_quoted(line, message);
  for (const Field& field : fields) {
    line += ',';
    append_quoted(line, field.key());
    line += ':';
    if (field.quoted()) {
      append_quoted(line, field.text());
    } else {
      line += field.text();
    }
  }
  return line + "}\n";
}

std::string text_line(Level level, std::string_view message, Fields fields) {
  std::string line = fmt::format("{} {:<5} {} {}", timestamp().substr(11, 12),
                                 kNames[std::to_underlying(level)], settings().component, message);
  for (const Field& field : fields) {
    line += fmt::format("  {}=", field.key());
    if (field.quoted() && !plain(field.text())) {
      append_quoted(line, field.text());
    } else {
      line += field.text();
    }
  }
  return line + '\n';
}

}  // namespace

void configure(Level level, Style style, std::string_view component) {
  settings().level = level;
  settings().style = style;
  settings().component = component;
}

void redirect(Sink sink) { settings().sink = std::move(sink); }

bool enabled(Level level) { return level >= settings().level; }

std::string Field::number(double value) { return fmt::format("{:.6g}", value); }
std::string Field::number(std::int64_t value) { return fmt::format("{}", value); }
std::string Field::number(std::uint64_t value) { return fmt::format("{}", value); }

void write(Level level, std::string_view message, Fields fields) {
  const std::string line = settings().style == Style::kJson ? json_line(level, message, fields)
                                                            : text_line(level, message, fields);
  if (settings().sink) return settings().sink(line);
  // Nothing can be done about a closed standard error.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace baton::log
