#pragma once
// BLAKE2s-256 without a key (RFC 7693). Internal to the connectors: it spreads requests over
// ranks as llm-d does; nothing is protected by it.

#include <array>
#include <cstdint>
#include <string_view>

namespace baton::sidecar {

std::array<std::uint8_t, 32> blake2s(std::string_view text);

}  // namespace baton::sidecar
