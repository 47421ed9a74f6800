#pragma once
// The names that a picker gives to blocks of token ids, so that blocks of different engines can be
// compared: a chain from the model's name, each key over the key before, the block's tokens and
// what else the block depends on. Formulas: picker reference 4.7 (llm-d-kv-cache `kvblock`).
//
//   cbor-fnv  FNV-1a-64 of the canonical CBOR of [parent, [tokens] or null, null or [{"Hash":
//   extra}…]]
//             root = key(FNV-1a-64(seed), null, the model's name)
//   xxh64     XXH64 of LE64(parent) . LE32(token)… . for each extra LE64(length) . bytes
//             root = key(XXH64(seed), no tokens, the model's name as extra)

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace baton::kv {

using BlockKey = std::uint64_t;

enum class KeyHash : std::uint8_t { kCborFnv, kXxh64 };

// Immutable.
class BlockKeys {
 public:
  BlockKeys(KeyHash hash, std::string_view seed);

  // What the first block of a model's prompts follows; of a LoRA adapter by its name.
  BlockKey root(std::string_view model) const;
  BlockKey next(BlockKey parent, std::span<const std::uint32_t> block,
                std::span<const std::string> extras = {}) const;

 private:
  KeyHash hash_;
  std::uint64_t init_;
};

}  // namespace baton::kv
