#include "formats/kv/kv_wire.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <utility>

#include "base/core/assert.hpp"

namespace baton::kv {
namespace {

constexpr std::uint32_t kMagic = 0x3256'4b42;  // "BKV2"

class WireWriter {
 public:
  template <std::unsigned_integral T>
  void operator()(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      out_.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
  void operator()(const std::string& text) {
    const auto size = std::min(text.size(), kMaxWireText);
    (*this)(static_cast<std::uint16_t>(size));
    out_.append(text, 0, size);
  }
  void operator()(Code code) { (*this)(std::to_underlying(code)); }
  void operator()(const std::vector<std::uint32_t>& list) {
    (*this)(static_cast<std::uint32_t>(list.size()));
    for (const std::uint32_t item : list) (*this)(item);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// Zero values after the first shortage; `ok` tells.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : left_(bytes) {}

  template <std::unsigned_integral T>
  void operator()(T& value) {
    std::uint64_t sum = 0;
    if (!need(sizeof(T))) return;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      sum |= std::uint64_t{static_cast<unsigned char>(left_[i])} << (8 * i);
    value = static_cast<T>(sum);
    left_.remove_prefix(sizeof(T));
  }
  void operator()(std::string& text) {
    std::uint16_t size = 0;
    (*this)(size);
    if (size > kMaxWireText) ok_ = false;
    if (!need(size)) return;
    text.assign(left_.substr(0, size));
    left_.remove_prefix(size);
  }
  void operator()(Code& code) {
    std::uint8_t value = 0;
    (*this)(value);
    if (value > std::to_underlying(Code::kInternal)) ok_ = false;
    if (ok_) code = Code{value};
  }
  void operator()(std::vector<std::uint32_t>& list) {
    std::uint32_t size = 0;
    (*this)(size);
    if (!need(std::size_t{size} * sizeof(std::uint32_t))) return;
    list.resize(size);
    for (std::uint32_t& item : list) (*this)(item);
  }
  bool complete() const { return ok_ && left_.empty(); }

 private:
  bool need(std::size_t bytes) {
    ok_ = ok_ && left_.size() >= bytes;
    return ok_;
  }
  std::string_view left_;
  bool ok_ = true;
};

// One list of members per message, for both directions. `M` is const when writing.
template <class IO, class M>
void members(IO& io, M& m) {
  using T = std::remove_const_t<M>;
  if constexpr (std::is_same_v<T, LeaseKey>) {
    io(m.engine_id), io(m.request_id), io(m.token), io(m.generation);
  } else if constexpr (std::is_same_v<T, RowShape>) {
    io(m.layers), io(m.kv_heads), io(m.head_dim), io(m.element_bytes);
  } else if constexpr (std::is_same_v<T, Digest>) {
    io(m.high), io(m.low);
  } else if constexpr (std::is_same_v<T, Pull>) {
    members(io, m.key), members(io, m.shape), members(io, m.model), members(io, m.prompt);
    io(m.prompt_tokens), io(m.begin), io(m.end), io(m.shared);
  } else if constexpr (std::is_same_v<T, Renew> || std::is_same_v<T, Release>) {
    members(io, m.key);
  } else if constexpr (std::is_same_v<T, Accepted> || std::is_same_v<T, End>) {
    io(m.generation);
  } else if constexpr (std::is_same_v<T, Rows>) {
    std::uint32_t reserved = 0;
    io(m.generation), io(m.layer), io(m.first), io(m.count), io(reserved), io(m.checksum);
  } else if constexpr (std::is_same_v<T, Shared>) {
    io(m.generation), io(m.blocks), io(m.block_size), io(m.first), io(m.table);
  } else if constexpr (std::is_same_v<T, Extent>) {
    io(m.tokens), io(m.until), io(m.layers);
  } else if constexpr (std::is_same_v<T, Await>) {
    members(io, m.key), members(io, m.copied);
  } else if constexpr (std::is_same_v<T, Ready>) {
    io(m.generation), members(io, m.there);
  } else if constexpr (std::is_same_v<T, Failed>) {
    io(m.code), io(m.message);
  } else {
    static_assert(std::is_same_v<T, Done>);
  }
}

template <class M>
Result<Message> decoded(std::string_view body) {
  M message;
  WireReader reader(body);
  members(reader, message);
  if (!reader.complete())
    return invalid(fmt::format("KV frame: malformed body of {} bytes", body.size()));
  return Message(std::move(message));
}

}  // namespace

std::string encode(const Message& message, std::size_t payload) {
  WireWriter body;
  std::visit([&](const auto& m) { members(body, m); }, message);
  const std::string content = body.take();
  WireWriter head;
  head(kMagic);
  head(static_cast<std::uint8_t>(message.index() + 1));
  head(std::uint8_t{0}), head(std::uint16_t{0});
  head(static_cast<std::uint32_t>(content.size() + payload));
  return head.take() + content;
}

Result<FrameHead> decode_head(std::string_view bytes) {
  BATON_ASSERT(bytes.size() == kFrameHead);
  std::uint32_t magic = 0, length = 0;
  std::uint16_t zero16 = 0;
  std::uint8_t kind = 0, zero8 = 0;
  WireReader reader(bytes);
  reader(magic), reader(kind), reader(zero8), reader(zero16), reader(length);
  if (magic != kMagic) return invalid("KV frame: not this protocol or version (magic)");
  if (kind < 1 || kind > std::to_underlying(FrameKind::kReady) || zero8 != 0 || zero16 != 0)
    return invalid(fmt::format("KV frame: malformed head of kind {}", kind));
  const FrameHead head{FrameKind{kind}, length};
  const std::size_t most = head.kind == FrameKind::kRows     ? kMaxRowsFrame
                           : head.kind == FrameKind::kShared ? kMaxTableFrame
                                                             : kMaxControlFrame;
  if (length > most || (head.kind == FrameKind::kRows && length < kRowsHead))
    return invalid(fmt::format("KV frame: {} bytes, at most {} allowed", length, most));
  return head;
}

Result<Message> decode_body(FrameKind kind, std::string_view body) {
  switch (kind) {
    case FrameKind::kPull:
      return decoded<Pull>(body);
    case FrameKind::kRenew:
      return decoded<Renew>(body);
    case FrameKind::kRelease:
      return decoded<Release>(body);
    case FrameKind::kAccepted:
      return decoded<Accepted>(body);
    case FrameKind::kRows:
      return decoded<Rows>(body);
    case FrameKind::kEnd:
      return decoded<End>(body);
    case FrameKind::kDone:
      return decoded<Done>(body);
    case FrameKind::kFailed:
      return decoded<Failed>(body);
    case FrameKind::kShared:
      return decoded<Shared>(body);
    case FrameKind::kAwait:
      return decoded<Await>(body);
    case FrameKind::kReady:
      return decoded<Ready>(body);
  }
  return invalid("KV frame: unknown kind");
}

}  // namespace baton::kv
