#pragma once
// A token id in the flat text of a prompt (prompt_text.hpp): 4 bytes, the lowest first.

#include <cstdint>
#include <string>

namespace baton::openai {

inline void append_flat_id(std::string& out, std::uint32_t id) {
  for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>(id >> shift);
}

}  // namespace baton::openai
