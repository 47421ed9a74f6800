#include "formats/kv/block_keys.hpp"

#include <xxhash.h>

#include <bit>

namespace baton::kv {
namespace {

static_assert(std::endian::native == std::endian::little);

// CBOR (RFC 8949) in its shortest forms, straight into FNV-1a.
class FnvCbor {
 public:
  void byte(unsigned b) { hash_ = (hash_ ^ b) * 0x0000'0100'0000'01b3ULL; }
  void bytes(std::string_view text) {
    for (const char c : text) byte(static_cast<unsigned char>(c));
  }
  // The head of a value of one major type.
  void head(unsigned major, std::uint64_t n) {
    const unsigned type = major << 5;
    if (n < 24) return byte(type | static_cast<unsigned>(n));
    if (n <= 0xff) return wide<1>(type | 24, n);
    if (n <= 0xffff) return wide<2>(type | 25, n);
    if (n <= 0xffff'ffff) return wide<4>(type | 26, n);
    wide<8>(type | 27, n);
  }
  void number(std::uint64_t n) { head(0, n); }
  void text(std::string_view t) { head(3, t.size()), bytes(t); }
  void array(std::size_t n) { head(4, n); }
  void map(std::size_t n) { head(5, n); }
  void null() { byte(0xf6); }
  std::uint64_t hash() const { return hash_; }

 private:
  template <int Bytes>
  void wide(unsigned first, std::uint64_t n) {
    byte(first);
    for (int i = Bytes - 1; i >= 0; --i) byte(static_cast<unsigned>(n >> (8 * i) & 0xff));
  }
  std::uint64_t hash_ = 0xcbf2'9ce4'8422'2325ULL;
};

std::uint64_t xxh64(BlockKey parent, std::span<const std::uint32_t> block,
                    std::span<const std::string_view> extras) {
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  XXH64_update(&state, &parent, sizeof parent);
  if (!block.empty()) XXH64_update(&state, block.data(), block.size_bytes());
  for (const auto extra : extras) {
    const std::uint64_t size = extra.size();
    XXH64_update(&state, &size, sizeof size);
    if (size > 0) XXH64_update(&state, extra.data(), size);
  }
  return XXH64_digest(&state);
}

}  // namespace

BlockKeys::BlockKeys(KeyHash hash, std::string_view seed) : hash_(hash) {
  if (hash == KeyHash::kXxh64) {
    init_ = XXH64(seed.data(), seed.size(), 0);
    return;
  }
  FnvCbor fnv;
  fnv.bytes(seed);
  init_ = fnv.hash();
}

BlockKey BlockKeys::root(std::string_view model) const {
  if (hash_ == KeyHash::kXxh64) return xxh64(init_, {}, std::span(&model, 1));
  FnvCbor fnv;
  fnv.array(3);
  fnv.number(init_);
  fnv.null();
  fnv.text(model);
  return fnv.hash();
}

BlockKey BlockKeys::next(BlockKey parent, std::span<const std::uint32_t> block,
                         std::span<const std::string> extras) const {
  if (hash_ == KeyHash::kXxh64) {
    if (extras.empty()) return xxh64(parent, block, {});
    const std::vector<std::string_view> views(extras.begin(), extras.end());
    return xxh64(parent, block, views);
  }
  FnvCbor fnv;
  fnv.array(3);
  fnv.number(parent);
  fnv.array(block.size());
  for (const auto token : block) fnv.number(token);
  if (extras.empty()) {
    fnv.null();
  } else {
    fnv.array(extras.size());
    for (const auto& extra : extras) fnv.map(1), fnv.text("Hash"), fnv.text(extra);
  }
  return fnv.hash();
}

}  // namespace baton::kv
