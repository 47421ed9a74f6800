#pragma once
// Added tokens: spellings that are found in a text before it is split into words.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/token/token.hpp"

namespace baton::token {

struct AddedToken {
  std::string content;
  TokenId id = 0;
  bool special = false, single_word = false, lstrip = false, rstrip = false, normalized = false;
};

Result<std::vector<AddedToken>> parse_added_tokens(const text::json::Value* list);

// A piece of a text: an added token, or text between them.
struct Piece {
  const AddedToken* token = nullptr;
  std::size_t from = 0, to = 0;
};

// Finds the leftmost, longest spelling. Immutable.
class AddedTokenFinder {
 public:
  // The tokens must outlive it; `spelling` is what is looked for (normalized or not).
  void add(const AddedToken& token, std::string spelling);
  void seal();                  // after the last of them
  std::size_t longest() const;  // bytes of a spelling
  std::vector<Piece> split(std::string_view text) const;

 private:
  struct Entry {
    std::string spelling;
    const AddedToken* token;
  };
  const Entry* longest_at(std::string_view text) const;

  std::array<std::vector<Entry>, 256> by_first_byte_;  // each sorted by bytes
  bool any_ = false;
};

}  // namespace baton::token
