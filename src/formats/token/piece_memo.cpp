#include "formats/token/piece_memo.hpp"

#include <xxhash.h>

#include "base/core/random.hpp"

namespace baton::token {

PieceMemo::PieceMemo(std::size_t bytes) : limit_(bytes), seed_(SystemRandom().next()) {}

PieceMemo::Key PieceMemo::key_of(std::string_view piece, Place place) const {
  const auto h =
      XXH3_128bits_withSeed(piece.data(), piece.size(), seed_ + (place == Place::kFirst ? 1 : 0));
  return {h.low64, h.high64};
}

bool PieceMemo::recall(std::string_view piece, Place place, std::vector<TokenId>& out) {
  const auto key = key_of(piece, place);
  const std::scoped_lock lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    counts_.new_bytes += piece.size();
    return false;
  }
  counts_.remembered_bytes += piece.size();
  entries_.splice(entries_.begin(), entries_, found->second);
  const auto& tokens = found->second->tokens;
  out.insert(out.end(), tokens.begin(), tokens.end());
  return true;
}

void PieceMemo::keep(std::string_view piece, Place place, std::span<const TokenId> tokens) {
  const auto key = key_of(piece, place);
  const std::scoped_lock lock(mutex_);
  if (tokens.size_bytes() > limit_ || by_key_.contains(key)) return;
  entries_.push_front({key, {tokens.begin(), tokens.end()}});
  by_key_.emplace(key, entries_.begin());
  bytes_ += tokens.size_bytes();
  while (bytes_ > limit_) {
    bytes_ -= entries_.back().tokens.size() * sizeof(TokenId);
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

PieceMemo::Counts PieceMemo::take_counts() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(counts_, {});
}

}  // namespace baton::token
