#pragma once
// Base64 with the standard alphabet and padding (RFC 4648 section 4), as in Secrets and
// kubeconfigs.

#include <string>
#include <string_view>

#include "base/core/result.hpp"

namespace baton::text {

std::string base64(std::string_view bytes);

// Line breaks are passed over. kInvalid: another character, wrong padding, bits left over.
Result<std::string> parse_base64(std::string_view text);

}  // namespace baton::text
