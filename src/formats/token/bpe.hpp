#pragma once
// Byte-pair encoding: a word to ids, by merges in order of rank.

#include <boost/container_hash/hash.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/token/token.hpp"

namespace baton::token {

// By spelling; looked up without making a string.
struct SpellingHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return boost::hash<std::string_view>()(text);
  }
};
using Vocabulary = boost::unordered_flat_map<std::string, TokenId, SpellingHash, std::equal_to<>>;

// What a word is made of before any merge: bytes under stand-in characters (GPT-2), or characters,
// of which those without a token become bytes or the unknown token (SentencePiece).
enum class Alphabet : bool { kBytes, kCharacters };

// Immutable after parse.
class Bpe {
 public:
  // The "model" of a tokenizer.json.
  static Result<Bpe> parse(const text::json::Value& model, Alphabet alphabet);

  // Room for encode(); one per thread.
  struct Workspace {
    struct Symbol {
      TokenId id;
      std::int32_t previous, next;  // -1: none
      bool gone;
    };
    struct Merge {
      std::uint32_t rank, position;
      TokenId left, right, made;
    };
    // A word that was encoded before, and its few ids.
    struct Known {
      std::array<char, 23> word{};
      std::uint8_t size = 0;  // of the word; 0: nothing here
      std::uint8_t count = 0;
      std::array<TokenId, 7> ids{};
    };
    std::vector<Symbol> symbols;
    std::vector<Merge> heap;
    std::vector<Known> known;  // by hash; of the Bpe with this number
    std::uint64_t owner = 0;
  };
  // Appends the ids of one word (UTF-8). n log n in its length. What a long word needs of the
  // workspace is given back.
  void encode(std::string_view word, std::vector<TokenId>& out, Workspace& workspace) const;

  const Vocabulary& spellings() const { return spellings_; }
  // Whether some of a word may become no token, or however much of it one.
  bool drops_text() const;

 private:
  struct Made {
    std::uint32_t rank;
    TokenId id;
  };
  static std::uint64_t pair(TokenId a, TokenId b) { return (std::uint64_t{a} << 32) | b; }
  void consider(Workspace& w, std::int32_t left) const;
  void spell_bytes(std::string_view word, Workspace& w) const;
  void spell_characters(std::string_view word, Workspace& w) const;
  Status check_options(const text::json::Value& model) const;
  Status read_bytes(const text::json::Value& model);
  Status read_unknown(const text::json::Value& model);
  void merge(std::string_view word, std::vector<TokenId>& out, Workspace& workspace) const;
  Status read_vocabulary(const text::json::Value& model);
  Status read_merges(const text::json::Value& model);

  Vocabulary spellings_;
  Vocabulary words_;  // by bytes; only with ignore_merges
  boost::unordered_flat_map<std::uint64_t, Made> merges_;
  std::array<std::int64_t, 256> bytes_{};  // -1: the vocabulary lacks it
  Alphabet alphabet_ = Alphabet::kBytes;
  bool ignore_merges_ = false;
  bool byte_fallback_ = false;      // kCharacters: a character without a token is its bytes
  std::optional<TokenId> unknown_;  // kCharacters, without byte_fallback
  bool fuse_unknown_ = false;       // unknown neighbours are one
  std::uint64_t number_ = 0;        // of no other Bpe
};

}  // namespace baton::token
