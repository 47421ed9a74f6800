#pragma once
// Which blocks of a long chain an index is told. A chain's hash stands for all before it, so that a
// slot that holds a landmark is taken to hold the blocks up to it:
//
//   block      0 1 2 … kFine-1 | kFine … +7 | … +15 | …            the rest
//   landmark   each one        |          x |     x | every 8th    (the tail: told too, each block)
//
// A prompt of 220 KB is then some 700 entries, not 3,500. How far a slot's match goes is exact in
// the first kFine blocks, and where it goes as far as what the slot was told (the next turn of a
// conversation); prompts that part ways further in are counted in steps of kStride blocks.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace baton::index {

inline constexpr std::size_t kFine = 256;  // a multiple of kStride
inline constexpr std::size_t kStride = 8;

// The lowest bit tells landmarks that stand for kStride blocks from single blocks.
inline std::uint64_t single(std::uint64_t hash) { return hash & ~std::uint64_t{1}; }
inline std::uint64_t landmark(std::uint64_t hash) { return hash | 1; }

// How many landmarks so many leading blocks have, and how many blocks so many landmarks cover.
inline std::size_t landmarks_in(std::size_t blocks) {
  return blocks <= kFine ? blocks : kFine + (blocks - kFine) / kStride;
}
inline std::size_t covered_by(std::size_t landmarks) {
  return landmarks <= kFine ? landmarks : kFine + (landmarks - kFine) * kStride;
}

// Appends the landmarks of a chain from its block `first` on.
inline void append_landmarks(std::span<const std::uint64_t> chain, std::size_t first,
                             std::vector<std::uint64_t>& out) {
  for (std::size_t i = first; i < std::min(chain.size(), kFine); ++i)
    out.push_back(single(chain[i]));
  const auto deep = std::max(first, kFine);
  for (auto end = deep + kStride - deep % kStride; end <= chain.size(); end += kStride) {
    out.push_back(landmark(chain[end - 1]));
  }
}
// Appends the blocks behind the last landmark, from block `first` on.
inline void append_tail(std::span<const std::uint64_t> chain, std::size_t first,
                        std::vector<std::uint64_t>& out) {
  for (auto i = std::max(first, covered_by(landmarks_in(chain.size()))); i < chain.size(); ++i) {
    out.push_back(single(chain[i]));
  }
}

}  // namespace baton::index
