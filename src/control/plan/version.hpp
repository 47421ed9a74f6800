#pragma once
// Releases of upstream programs, as the annotation app.kubernetes.io/version tells them.

#include <compare>
#include <string_view>

#include "base/core/result.hpp"

namespace baton::plan {

struct Version {
  int major = 0, minor = 0, patch = 0;
  friend auto operator<=>(const Version&, const Version&) = default;
};

// "0.10.0", "v0.9.1-rc.2+build"; what follows '-' or '+' does not count. "" is 0.0.0. kInvalid
// else.
Result<Version> parse_version(std::string_view text);

}  // namespace baton::plan
