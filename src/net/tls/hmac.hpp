#pragma once
// HMAC-SHA256 (RFC 2104, FIPS 180-4).

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace baton::tls {

using Mac = std::array<std::uint8_t, 32>;
Mac hmac_sha256(std::string_view key, std::string_view text);

// Without telling by its time where they differ.
bool equal_in_constant_time(const Mac& a, const Mac& b);
// Their lengths are no secret.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace baton::tls
