#pragma once
// MD5 (RFC 1321), because child names over 63 characters carry it. Not for secrets.

#include <string>
#include <string_view>

namespace baton::plan {

// 32 lower-case hexadecimal digits.
std::string md5_hex(std::string_view text);

}  // namespace baton::plan
