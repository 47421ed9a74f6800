#pragma once
// The "decoder" of a tokenizer.json: what a token adds to a text.

#include <optional>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::token {

// Two shapes: ByteLevel, whose spellings are stand-in characters of bytes; and SentencePiece's,
// whose spellings are text with a mark for a space, and "<0x0A>" for a byte.
struct Decoder {
  // kUnsupported: anything else, with its JSON pointer.
  static Result<Decoder> parse(const text::json::Value* value);

  // What the token spelled so adds to a text, before `start`.
  std::string bytes(std::string_view spelling) const;
  // The byte that "<0x0A>" stands for; nullopt for other spellings.
  std::optional<char> single_byte(std::string_view spelling) const;

  bool byte_level = false;
  std::string mark;  // stands for `space`; empty: nothing does
  std::string space = " ";
  bool byte_fallback = false;  // "<0x0A>" is a byte
  // What a text loses at its start: nothing, one space, or all marks of its first token.
  enum class Start { kKeeps, kLosesASpace, kLosesItsMarks } start = Start::kKeeps;
};

// "<0x0A>", as SentencePiece spells a byte.
std::string byte_spelling(unsigned char byte);

}  // namespace baton::token
