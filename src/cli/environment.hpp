#pragma once
// Variables of the process environment. Commands hand them down as values: nothing else reads them.

#include <cstdlib>
#include <optional>
#include <string>

namespace baton::cli {

inline std::optional<std::string> from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// An empty variable counts as none.
inline std::string from_environment_or(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

// "" for none.
inline std::string environment_text(const char* name) { return from_environment_or(name, ""); }

}  // namespace baton::cli
