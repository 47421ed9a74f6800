#pragma once
// The protocol by which a decode engine pulls KV from a prefill engine. Bytes in, bytes out.
//
//   frame   [magic u32 "BKV2"][kind u8][0 u8 x3][length u32] then `length` bytes; little-endian
//   text    [length u16][bytes]
//
//   reader                          server
//     kPull ───────────────────────>          key, shape, model, prompt digest, token range
//           <─────────────────────── kAccepted
//           <─────────────────────── kRows x n  head, then the rows themselves: of each layer from
//                                               where its last ones ended, in any order of layers
//           <─────────────────────── kEnd
//     kRelease ────────────────────>          the lease is over
//           <─────────────────────── kDone
//   On one machine a reader can ask to read the server's memory itself:
//     kPull, shared ───────────────>
//           <─────────────────────── kShared    where the blocks are; then one byte, and with it
//                                               the memory's descriptor
//     kRenew ──────────────────────>          copied this far: still mine?
//           <─────────────────────── kDone
//     kRelease ────────────────────>          all copied, and the lease is over
//           <─────────────────────── kDone      what was copied up to here is good
//   A prompt that was announced (transfer_params.hpp) may still be computed while it is pulled.
//   Then kReady says how far it is: beside the kRows, at least every second, and where memory is
//   shared
//     kAwait ──────────────────────>          copied this far: what more is there?
//           <─────────────────────── kReady     at once, or when there is more, or after a second
//   kRenew (answered by kDone) also prolongs a lease whose reader still waits for room. Any request
//   may be answered by kFailed. A version that changes a byte of this gets another magic; a new
//   kind of frame goes only to those who asked for what it is about.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/core/result.hpp"
#include "formats/kv/block_hash.hpp"

namespace baton::kv {

inline constexpr std::size_t kFrameHead = 12;           // bytes before the body
inline constexpr std::size_t kRowsHead = 32;            // bytes of a kRows body before the rows
inline constexpr std::size_t kMaxControlFrame = 4096;   // body of every other kind
inline constexpr std::size_t kMaxRowsFrame = 8U << 20;  // body of kRows
inline constexpr std::size_t kMaxTableFrame = 1 << 20;  // body of kShared
inline constexpr std::size_t kMaxWireText = 512;        // bytes

enum class FrameKind : std::uint8_t {
  kPull = 1,
  kRenew,
  kRelease,
  kAccepted,
  kRows,
  kEnd,
  kDone,
  kFailed,
  kShared,
  kAwait,
  kReady,
};

// What a lease is presented by.
struct LeaseKey {
  std::string engine_id;
  std::string request_id;
  std::string token;
  std::uint64_t generation = 0;
  friend bool operator==(const LeaseKey&, const LeaseKey&) = default;
};

// Of one row: [K, V][kv_heads][head_dim] elements of one layer.
struct RowShape {
  std::uint32_t layers = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t element_bytes = 0;
  friend bool operator==(const RowShape&, const RowShape&) = default;
};

struct Pull {
  LeaseKey key;
  RowShape shape;
  Digest model;
  Digest prompt;  // of all `prompt_tokens`: KV of another prompt is never sent
  std::uint32_t prompt_tokens = 0;
  std::uint32_t begin = 0, end = 0;  // tokens wanted
  bool shared = false;               // the reader would rather read the memory
  friend bool operator==(const Pull&, const Pull&) = default;
};
struct Renew {
  LeaseKey key;
  friend bool operator==(const Renew&, const Renew&) = default;
};
struct Release {
  LeaseKey key;
  friend bool operator==(const Release&, const Release&) = default;
};
struct Accepted {
  std::uint64_t generation = 0;
  friend bool operator==(const Accepted&, const Accepted&) = default;
};
struct Rows {
  std::uint64_t generation = 0;
  std::uint32_t layer = 0;
  std::uint32_t first = 0;  // token
  std::uint32_t count = 0;
  std::uint64_t checksum = 0;  // XXH3-64 of the rows
  friend bool operator==(const Rows&, const Rows&) = default;
};
// [layer][block][slot] rows; token t is in slot t % block_size of table[t / block_size - first].
struct Shared {
  std::uint64_t generation = 0;
  std::uint32_t blocks = 0;      // of a layer
  std::uint32_t block_size = 0;  // tokens
  std::uint32_t first = 0;       // block of the prompt that the table begins with
  std::vector<std::uint32_t> table;
  friend bool operator==(const Shared&, const Shared&) = default;
};
// How much KV of a prompt is there, and will not change: all layers of its first `tokens` tokens,
// and the first `layers` layers of those up to `until`. Layers are computed in order, of some
// tokens at a time.
struct Extent {
  std::uint32_t tokens = 0;
  std::uint32_t until = 0;
  std::uint32_t layers = 0;

  static Extent whole(std::uint32_t tokens) { return {tokens, tokens, 0}; }
  // Tokens whose rows of this layer are there.
  std::uint32_t of(std::uint32_t layer) const { return layer < layers ? until : tokens; }
  // Of two of one prompt: whether there is anything here that is not there.
  bool exceeds(const Extent& other) const {
    return tokens > other.tokens || until > other.until ||
           (until == other.until && layers > other.layers);
  }
  friend bool operator==(const Extent&, const Extent&) = default;
};
struct Await {
  LeaseKey key;
  Extent copied;
  friend bool operator==(const Await&, const Await&) = default;
};
struct Ready {
  std::uint64_t generation = 0;
  Extent there;
  friend bool operator==(const Ready&, const Ready&) = default;
};
struct End {
  std::uint64_t generation = 0;
  friend bool operator==(const End&, const End&) = default;
};
struct Done {
  friend bool operator==(const Done&, const Done&) = default;
};
struct Failed {
  Code code = Code::kInternal;
  std::string message;
  friend bool operator==(const Failed&, const Failed&) = default;
};

using Message =
    std::variant<Pull, Renew, Release, Accepted, Rows, End, Done, Failed, Shared, Await, Ready>;

struct FrameHead {
  FrameKind kind{};
  std::uint32_t length = 0;  // of the body
};

// The whole frame; for Rows without the `payload` bytes that must follow it.
std::string encode(const Message& message, std::size_t payload = 0);

// kInvalid: another magic, an unknown kind, a length over the kind's limit.
// Contract: kFrameHead bytes.
Result<FrameHead> decode_head(std::string_view bytes);
// The body of a frame; of kRows its first kRowsHead bytes. kInvalid: short, long or out of range.
Result<Message> decode_body(FrameKind kind, std::string_view body);

}  // namespace baton::kv
