#pragma once
// Byte-pair encoding: bytes of a word to ids, by merges in order of rank.

#include <boost/unordered/unordered_flat_map.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/token/token.hpp"

namespace baton::token {

// Immutable after parse.
class Bpe {
 public:
  // The "model" of a tokenizer.json.
  static Result<Bpe> parse(const text::json::Value& model);

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
    std::vector<Symbol> symbols;
    std::vector<Merge> heap;
  };
  // Appends the ids of one word (raw bytes). n log n in its length.
  void encode(std::string_view word, std::vector<TokenId>& out, Workspace& workspace) const;

  const boost::unordered_flat_map<std::string, TokenId>& spellings() const { return spellings_; }

 private:
  struct Made {
    std::uint32_t rank;
    TokenId id;
  };
  static std::uint64_t pair(TokenId a, TokenId b) { return (std::uint64_t{a} << 32) | b; }
  void consider(Workspace& w, std::int32_t left) const;
  Status read_vocabulary(const text::json::Value& model);
  Status read_merges(const text::json::Value& model);

  boost::unordered_flat_map<std::string, TokenId> spellings_;
  boost::unordered_flat_map<std::string, TokenId> words_;  // by bytes; only with ignore_merges
  boost::unordered_flat_map<std::uint64_t, Made> merges_;
  std::array<std::int64_t, 256> bytes_{};  // -1: the vocabulary lacks it
  bool ignore_merges_ = false;
};

}  // namespace baton::token
