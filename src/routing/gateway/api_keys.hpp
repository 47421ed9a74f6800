#pragma once
// Bearer keys (RFC 6750).

#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::gateway {

// Whether "Bearer <key>" names one of the keys. Takes the same time whatever the key has in common
// with a right one.
bool authorized(std::string_view authorization, const std::vector<std::string>& keys);

// One key a line; blank lines and lines that start with # are passed over. kInvalid: no key.
Result<std::vector<std::string>> read_api_keys(std::string_view text, std::string_view source);

}  // namespace baton::gateway
