#include "engine/runtime/block_pool.hpp"

#include <algorithm>
#include <ranges>

#include "base/core/assert.hpp"
#include "engine/runtime/cache_log.hpp"

namespace baton::runtime {

BlockPool::BlockPool(std::size_t blocks, std::size_t block_size, std::uint64_t secret,
                     CacheLog* log)
    : block_size_(block_size),
      secret_(secret),
      log_(log),
      blocks_(blocks),
      content_(blocks * block_size) {
  BATON_ASSERT(blocks < kNone && block_size > 0);
  for (std::size_t b = 0; b < blocks; ++b) {
    link(BlockIndex(b));
    ++free_;
  }
}

kv::Digest BlockPool::root(std::string_view salt) const {
  return salt.empty() ? kv::Digest{} : kv::digest(salt, secret_);
}

void BlockPool::extend_names(const kv::Digest& root, std::span<const TokenId> tokens,
                             std::vector<kv::Digest>& names) const {
  while ((names.size() + 1) * block_size_ <= tokens.size()) {
    const kv::Digest parent = names.empty() ? root : names.back();
    names.push_back(
        kv::chain(parent, tokens.subspan(names.size() * block_size_, block_size_), secret_));
  }
}

std::vector<BlockIndex> BlockPool::match(std::span<const TokenId> tokens,
                                         std::span<const kv::Digest> names,
                                         std::size_t most) const {
  std::vector<BlockIndex> found;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) {
    const auto it = by_name_.find(names[i]);
    if (it == by_name_.end()) break;
    const auto first = static_cast<std::size_t>(it->second) * block_size_;
    if (!std::ranges::equal(tokens.subspan(i * block_size_, block_size_),
                            std::span(content_).subspan(first, block_size_)))
      break;
    found.push_back(it->second);
  }
  return found;
}

void BlockPool::acquire(std::span<const BlockIndex> blocks) {
  for (const BlockIndex block : blocks) {
    if (at(block).refs++ > 0) continue;
    unlink(block);
    --free_;
  }
}

BlockIndex BlockPool::allocate() {
  BATON_ASSERT(free_ > 0);
  const BlockIndex block{oldest_};
  unlink(block);
  --free_;
  Block& b = at(block);
  b.refs = 1;
  if (b.name) {
    if (log_ != nullptr) log_->removed(*b.name);
    by_name_.erase(*b.name);
    b.name.reset();
    ++evictions_;
  }
  return block;
}

void BlockPool::release(std::span<const BlockIndex> blocks) {
  for (const BlockIndex block : blocks | std::views::reverse) {
    BATON_ASSERT(at(block).refs > 0);
    if (--at(block).refs > 0) continue;
    link(block);
    ++free_;
  }
}

bool BlockPool::publish(BlockIndex block, const kv::Digest& name, std::span<const TokenId> tokens) {
  BATON_ASSERT(at(block).refs > 0 && tokens.size() == block_size_);
  if (at(block).name || !by_name_.try_emplace(name, block).second) return false;
  at(block).name = name;
  std::ranges::copy(tokens, content(block).begin());
  return true;
}

void BlockPool::unpin(std::span<const BlockIndex> blocks) {
  BATON_ASSERT(pinned_ >= blocks.size());
  pinned_ -= blocks.size();
  release(blocks);
}

void BlockPool::unlink(BlockIndex block) {
  Block& b = at(block);
  (b.previous == kNone ? oldest_ : blocks_[b.previous].next) = b.next;
  (b.next == kNone ? newest_ : blocks_[b.next].previous) = b.previous;
  b.previous = b.next = kNone;
}

// Blocks without content go to the old end: nothing is lost by reusing them.
void BlockPool::link(BlockIndex block) {
  Block& b = at(block);
  const auto self = static_cast<std::uint32_t>(block);
  if (b.name) {
    b.previous = newest_;
    (newest_ == kNone ? oldest_ : blocks_[newest_].next) = self;
    newest_ = self;
  } else {
    b.next = oldest_;
    (oldest_ == kNone ? newest_ : blocks_[oldest_].previous) = self;
    oldest_ = self;
  }
}

}  // namespace baton::runtime
