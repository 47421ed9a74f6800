#include "routing/index/prefix_chain.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>

#include "base/core/assert.hpp"

namespace baton::index {

static_assert(std::endian::native == std::endian::little, "the chain hashes little-endian words");

PrefixChain::PrefixChain(std::string_view model, std::size_t block_bytes, std::size_t max_blocks)
    : block_bytes_(block_bytes),
      max_blocks_(max_blocks),
      last_(XXH64(model.data(), model.size(), 0)) {
  BATON_ASSERT(block_bytes > 0 && block_bytes <= kMaxBlockBytes);
  partial_.reserve(block_bytes);
}

void PrefixChain::append(std::string_view bytes) {
  bytes_ += bytes.size();
  if (blocks_.size() == max_blocks_) return;
  if (!partial_.empty()) {
    const auto taken = bytes.substr(0, block_bytes_ - partial_.size());
    partial_.insert(partial_.end(), taken.begin(), taken.end());
    bytes.remove_prefix(taken.size());
    if (partial_.size() < block_bytes_) return;
    add_block(partial_.data());
    partial_.clear();
  }
  if (blocks_.empty()) {  // a prompt, of which all is known
    blocks_.reserve(std::min(bytes.size() / block_bytes_, max_blocks_));
  }
  while (bytes.size() >= block_bytes_ && blocks_.size() < max_blocks_) {
    add_block(bytes.data());
    bytes.remove_prefix(block_bytes_);
  }
  if (blocks_.size() < max_blocks_) partial_.assign(bytes.begin(), bytes.end());
}

void PrefixChain::add_block(const char* block) {
  const std::array<std::uint64_t, 2> words = {XXH64(block, block_bytes_, 0), last_};
  last_ = XXH64(words.data(), sizeof words, 0);
  blocks_.push_back(last_);
}

}  // namespace baton::index
