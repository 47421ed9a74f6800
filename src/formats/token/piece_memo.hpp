#pragma once
// Tokens of pieces of text that were tokenized before. An added token (such as the marks between
// the messages of a chat) cuts a text into pieces that do not depend on each other, so a
// conversation that grows has its old pieces here.

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstdint>
#include <list>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/token/token.hpp"

namespace baton::token {

// Thread-safe. For one tokenizer.
class PieceMemo {
 public:
  explicit PieceMemo(std::size_t bytes = std::size_t{64} << 20);

  // The same piece may be tokenized differently where a text begins.
  enum class Place : bool { kLater, kFirst };
  // Appends the piece's tokens; false: it is not here.
  bool recall(std::string_view piece, Place place, std::vector<TokenId>& out);
  // The least recently used pieces go when there are too many bytes of tokens.
  void keep(std::string_view piece, Place place, std::span<const TokenId> tokens);

  struct Counts {
    std::uint64_t remembered_bytes = 0, new_bytes = 0;  // of pieces
  };
  // Since the last call.
  Counts take_counts();

  static constexpr std::size_t kLeast = 64;  // bytes of a piece that is worth remembering

 private:
  // XXH3-128 under a secret seed: two pieces that meet are not a case.
  using Key = std::pair<std::uint64_t, std::uint64_t>;
  struct Entry {
    Key key;
    std::vector<TokenId> tokens;
  };
  struct HashKey {
    std::size_t operator()(const Key& k) const noexcept { return k.first; }
  };
  Key key_of(std::string_view piece, Place place) const;

  const std::size_t limit_;
  const std::uint64_t seed_;
  std::mutex mutex_;  // guards the rest
  std::size_t bytes_ = 0;
  std::list<Entry> entries_;  // the most recently used first
  boost::unordered_flat_map<Key, std::list<Entry>::iterator, HashKey> by_key_;
  Counts counts_;
};

}  // namespace baton::token
