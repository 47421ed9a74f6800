#pragma once
// What an engine says its KV cache gained and lost, as vLLM's publisher writes it in MessagePack:
//
//   batch  [ts, [event …], data_parallel_rank]    or a map of the same names; trailing parts
//   optional event  ["BlockStored", block_hashes, parent_block_hash, token_ids, block_size,
//   lora_id, medium,
//           lora_name, extra_keys, group_idx, kv_cache_spec_kind, kv_cache_spec_sliding_window]
//          ["BlockRemoved", block_hashes, medium, group_idx]
//          ["AllBlocksCleared"]                    or a map with "type" and those names
//
// Source: vllm/distributed/kv_events.py, both generations of it (arrays to v0.22, then maps).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/core/result.hpp"

namespace baton::kv {

inline constexpr std::size_t kMaxEventBatch = std::size_t{32} << 20;  // bytes
inline constexpr std::uint32_t kMaxEventBlock = 1 << 16;              // tokens of one block
inline constexpr std::size_t kMaxBatchEvents = 1 << 16;
inline constexpr std::size_t kMaxBatchBlocks = 1 << 20;  // stored and removed
inline constexpr std::size_t kMaxBatchKeys = 1 << 20;    // extra keys, of all blocks
inline constexpr std::size_t kMaxBlockKeys = 256;        // of one
inline constexpr std::size_t kMaxEventName = 512;  // bytes of a medium, a LoRA name, an extra key

// As the engine names a block: of byte strings the last 8 bytes, big-endian. Means something within
// one engine only.
using EngineHash = std::uint64_t;

struct BlockStored {
  std::vector<EngineHash> hashes;
  std::optional<EngineHash> parent;   // of the first; nullopt: it begins a prompt
  std::vector<std::uint32_t> tokens;  // block_size for each hash; none: known blocks moved
  std::uint32_t block_size = 0;
  std::optional<std::uint64_t> lora_id;
  std::string medium;  // in lower case; "gpu" when not given
  std::string lora_name;
  // What else a block depends on (LoRA name, images, salt), by block; empty when no block has any.
  std::vector<std::vector<std::string>> extra_keys;
  std::uint32_t group = 0;  // of KV layers that are cached alike
  std::string spec_kind;    // "full_attention", …; "" when not told
  std::optional<std::uint32_t> sliding_window;
  friend bool operator==(const BlockStored&, const BlockStored&) = default;
};

struct BlockRemoved {
  std::vector<EngineHash> hashes;
  std::string medium;
  std::uint32_t group = 0;
  friend bool operator==(const BlockRemoved&, const BlockRemoved&) = default;
};

struct AllBlocksCleared {
  friend bool operator==(const AllBlocksCleared&, const AllBlocksCleared&) = default;
};

using KvEvent = std::variant<BlockStored, BlockRemoved, AllBlocksCleared>;

struct EventBatch {
  double ts = 0;  // seconds since 1970
  std::vector<KvEvent> events;
  std::optional<std::uint32_t> rank;  // of the data parallel engine
  std::size_t unknown = 0;            // events of a type that is not known, left out
  friend bool operator==(const EventBatch&, const EventBatch&) = default;
};

// kInvalid: not such a batch, over a limit, or token ids that do not fill the blocks.
Result<EventBatch> decode_events(std::string_view payload);

enum class EventShape : std::uint8_t { kArrays, kMaps };
// Trailing members that say nothing are left out.
std::string encode_events(const EventBatch& batch, EventShape shape);

}  // namespace baton::kv
