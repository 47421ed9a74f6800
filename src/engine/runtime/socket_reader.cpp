#include "engine/runtime/socket_reader.hpp"

#include <algorithm>

#include "formats/kv/kv_wire.hpp"

namespace baton::runtime {

Status SocketReader::receive(std::span<iovec> parts, const Patience& patience) {
  static_assert(kAhead == kv::kFrameHead + kv::kRowsHead);
  while (!parts.empty() && begin_ < end_) {
    iovec& part = parts.front();
    const std::size_t n = std::min(part.iov_len, end_ - begin_);
    std::copy_n(ahead_.data() + begin_, n, static_cast<char*>(part.iov_base));
    begin_ += n;
    part.iov_base = static_cast<char*>(part.iov_base) + n;
    part.iov_len -= n;
    if (part.iov_len == 0) parts = parts.subspan(1);
  }
  if (parts.empty()) return {};
  if (!reads_ahead_) return socket_.receive(parts, patience);
  BATON_TRY_ASSIGN(end_, socket_.receive(parts, ahead_, patience));
  begin_ = 0;
  return {};
}

Status SocketReader::receive(std::span<char> bytes, const Patience& patience) {
  iovec part{bytes.data(), bytes.size()};
  return receive(std::span(&part, 1), patience);
}

}  // namespace baton::runtime
