#pragma once
// What the prefix cache gained and lost since it was last asked, as events for those who follow it.
// In order: a block's removal stands before the block that takes its place.

#include <unordered_map>
#include <vector>

#include "engine/runtime/sequence.hpp"
#include "engine/runtime/vllm_hash.hpp"
#include "formats/kv/kv_event.hpp"

namespace baton::runtime {

// Confined to the engine thread.
class CacheLog {
 public:
  explicit CacheLog(const VllmHash& hash) : hash_(hash) {}

  // Block `index` of the sequence can be found under its name from now on.
  void stored(Sequence& sequence, std::size_t index, std::size_t block_size);
  void removed(const kv::Digest& name);
  std::vector<kv::KvEvent> take() { return std::exchange(events_, {}); }

 private:
  const VllmHash hash_;
  std::unordered_map<kv::Digest, kv::EngineHash> told_;  // by name; of the blocks that are cached
  std::vector<kv::KvEvent> events_;
};

}  // namespace baton::runtime
