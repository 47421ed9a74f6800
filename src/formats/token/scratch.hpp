#pragma once
// Memory that a thread keeps from one text to the next.

#include <cstddef>
#include <vector>

namespace baton::token {

inline constexpr std::size_t kMostScratch = std::size_t{4} << 20;  // bytes of a vector

// Empties it; what a long text made it grow to beyond that goes back.
template <class T>
void give_back(std::vector<T>& scratch) {
  scratch.clear();
  if (scratch.capacity() * sizeof(T) > kMostScratch) std::vector<T>().swap(scratch);
}

}  // namespace baton::token
