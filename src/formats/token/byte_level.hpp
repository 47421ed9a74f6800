#pragma once
// GPT-2's stand-ins: each byte is written as one printable character, so that vocabularies are
// text.

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace baton::token {

// The UTF-8 of the character that stands for each byte.
const std::array<std::string, 256>& byte_characters();
// The bytes that a spelling stands for; nullopt when it has another character.
std::optional<std::string> bytes_of(std::string_view spelling);

}  // namespace baton::token
