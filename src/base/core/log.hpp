#pragma once
// Structured log lines on standard error: a constant message and typed fields.
// JSON lines in production, aligned text on a terminal. Thread-safe: one write(2) per line.
// Never log prompts, tokens, headers or credentials at info or above.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

namespace baton::log {

enum class Level : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError, kOff };
enum class Style : std::uint8_t { kText, kJson };

// Process-wide; set once by main before threads start.
void configure(Level level, Style style, std::string_view component);
// Whole lines go there instead of standard error; nullptr: back. Set while no other thread logs.
using Sink = std::function<void(std::string_view line)>;
void redirect(Sink sink);
bool enabled(Level level);

// A field: text is quoted when needed, numbers and booleans are not.
class Field {
 public:
  Field(std::string_view key, std::string_view value) : key_(key), text_(value), quoted_(true) {}
  Field(std::string_view key, const char* value) : Field(key, std::string_view(value)) {}
  Field(std::string_view key, const std::string& value) : Field(key, std::string_view(value)) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  Field(std::string_view key, T value) : key_(key), text_(number(value)), quoted_(false) {}

  std::string_view key() const { return key_; }
  std::string_view text() const { return text_; }
  bool quoted() const { return quoted_; }

 private:
  static std::string number(double value);
  static std::string number(std::int64_t value);
  static std::string number(std::uint64_t value);
  template <class T>
  static std::string number(T value) {
    if constexpr (std::is_same_v<T, bool>) {
      return value ? "true" : "false";
    } else if constexpr (std::is_floating_point_v<T>) {
      return number(static_cast<double>(value));
    } else if constexpr (std::is_signed_v<T>) {
      return number(static_cast<std::int64_t>(value));
    } else {
      return number(static_cast<std::uint64_t>(value));
    }
  }

  std::string_view key_;
  std::string text_;
  bool quoted_;
};

using Fields = std::initializer_list<Field>;

void write(Level level, std::string_view message, Fields fields);

inline void trace(std::string_view message, Fields fields = {}) {
  if (enabled(Level::kTrace)) write(Level::kTrace, message, fields);
}
inline void debug(std::string_view message, Fields fields = {}) {
  if (enabled(Level::kDebug)) write(Level::kDebug, message, fields);
}
inline void info(std::string_view message, Fields fields = {}) {
  if (enabled(Level::kInfo)) write(Level::kInfo, message, fields);
}
inline void warn(std::string_view message, Fields fields = {}) {
  if (enabled(Level::kWarn)) write(Level::kWarn, message, fields);
}
inline void error(std::string_view message, Fields fields = {}) {
  if (enabled(Level::kError)) write(Level::kError, message, fields);
}

}  // namespace baton::log
