#pragma once
// Who owns which KV block, and which free blocks still hold a known prefix.
//
//   in use (refs > 0)  <──acquire/allocate──  free list, oldest first  <──release──
//                                              [no content … cached, tail blocks before heads]
//
// A block with a name (kv::chain) can be found by `match` whether in use or free. Confined to the
// engine thread.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/model/kv_memory.hpp"
#include "formats/kv/block_hash.hpp"
#include "formats/token/token.hpp"

namespace baton::runtime {

class CacheLog;

using model::BlockIndex;
using token::TokenId;

class BlockPool {
 public:
  // `secret` seeds the names, so that nobody outside can construct two prefixes with one name.
  // `log`, when there is one, learns which cached blocks are forgotten; it must outlive the pool.
  BlockPool(std::size_t blocks, std::size_t block_size, std::uint64_t secret,
            CacheLog* log = nullptr);

  std::size_t size() const { return blocks_.size(); }
  std::size_t block_size() const { return block_size_; }
  std::size_t free() const { return free_; }
  std::size_t used() const { return size() - free_; }
  std::size_t pinned() const { return pinned_; }
  std::uint64_t evictions() const { return evictions_; }
  std::size_t refs(BlockIndex block) const { return at(block).refs; }

  // What the names of prompts of one cache salt begin from.
  kv::Digest root(std::string_view salt) const;
  // Names of the full blocks of `tokens`, appended to `names` from where it ends.
  void extend_names(const kv::Digest& root, std::span<const TokenId> tokens,
                    std::vector<kv::Digest>& names) const;

  // The longest cached prefix of `tokens` in whole blocks, at most `most` blocks. Compares token
  // ids, so equal names are not enough.
  std::vector<BlockIndex> match(std::span<const TokenId> tokens, std::span<const kv::Digest> names,
                                std::size_t most) const;

  // Takes a reference to each.
  void acquire(std::span<const BlockIndex> blocks);
  // A block without content, with one reference; forgets the oldest cached one if need be.
  // Contract: free() > 0.
  BlockIndex allocate();
  // Drops a reference to each, last first, so that the tail of a sequence is reused first.
  void release(std::span<const BlockIndex> blocks);

  // The block now holds `tokens` (block_size of them) under `name`. False, without effect, when it
  // has a name or another block has that one. Contract: in use.
  bool publish(BlockIndex block, const kv::Digest& name, std::span<const TokenId> tokens);

  // A lease takes over the caller's references; unpin drops them.
  void pin(std::span<const BlockIndex> blocks) { pinned_ += blocks.size(); }
  void unpin(std::span<const BlockIndex> blocks);

 private:
  static constexpr std::uint32_t kNone = 0xffff'ffff;
  struct Block {
    std::size_t refs = 0;
    std::optional<kv::Digest> name;
    std::uint32_t previous = kNone, next = kNone;  // in the free list
  };

  Block& at(BlockIndex b) { return blocks_[static_cast<std::size_t>(b)]; }
  const Block& at(BlockIndex b) const { return blocks_[static_cast<std::size_t>(b)]; }
  std::span<TokenId> content(BlockIndex b) {
    return std::span(content_).subspan(static_cast<std::size_t>(b) * block_size_, block_size_);
  }
  void unlink(BlockIndex block);
  void link(BlockIndex block);

  std::size_t block_size_;
  std::uint64_t secret_;
  CacheLog* log_;
  std::vector<Block> blocks_;
  std::vector<TokenId> content_;  // [block][block_size], valid for named blocks
  std::unordered_map<kv::Digest, BlockIndex> by_name_;
  std::uint32_t oldest_ = kNone, newest_ = kNone;
  std::size_t free_ = 0;
  std::size_t pinned_ = 0;
  std::uint64_t evictions_ = 0;
};

}  // namespace baton::runtime
