#pragma once
// A token id, as the tokenizer numbers it.

#include <cstdint>

namespace baton::token {

using TokenId = std::uint32_t;

}  // namespace baton::token
