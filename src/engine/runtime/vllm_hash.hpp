#pragma once
// The names that vLLM gives to KV blocks, so that its readers see the same ones from this engine.
// Source: vllm/v1/core/kv_cache_utils.py, vllm/utils/hashing.py.
//
//   H[i] = SHA-256 of (H[i-1] or NONE, (token ids of block i), extra)    as pickle 5 or canonical
//   CBOR extra = (cache salt,) of the first block of a prompt that has one, else None NONE =
//   SHA-256 of the seed, a text in the same form; "vllm-none-hash" without PYTHONHASHSEED

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/token/token.hpp"

namespace baton::runtime {

enum class HashForm : std::uint8_t { kPickle, kCbor };  // sha256, sha256_cbor

// Immutable.
class VllmHash {
 public:
  using Bytes = std::array<unsigned char, 32>;
  static constexpr std::string_view kNoSeed = "vllm-none-hash";

  explicit VllmHash(HashForm form, std::string_view seed = kNoSeed);

  const Bytes& none() const { return none_; }  // what the first block follows
  // `salt`: of the first block; empty: none.
  Bytes next(const Bytes& parent, std::span<const token::TokenId> block,
             std::string_view salt = {}) const;
  // As events carry it: the last 8 bytes, big-endian.
  static std::uint64_t number(const Bytes& hash);

 private:
  HashForm form_;
  Bytes none_;
};

}  // namespace baton::runtime
