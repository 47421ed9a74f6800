#pragma once
// Reads a connection with few calls of the kernel: with what is asked for comes what has arrived
// behind it, a frame's head or so, and is kept for the next ask.

#include <array>
#include <cstddef>
#include <span>

#include "base/core/result.hpp"
#include "engine/runtime/socket.hpp"

namespace baton::runtime {

// Confined to one thread. All that is read of a connection is read through its one reader, but for
// descriptors.
class SocketReader {
 public:
  // The socket outlives it. Ahead is read over plain TCP only: a descriptor comes with a byte of
  // its own that nothing else may take.
  explicit SocketReader(const Socket& socket)
      : socket_(socket), reads_ahead_(!socket.is_local() && !socket.is_secure()) {}

  // As Socket's: all of it, in order; the parts are consumed.
  Status receive(std::span<iovec> parts, const Patience& patience);
  Status receive(std::span<char> bytes, const Patience& patience);

 private:
  // Of what is copied twice for it little pays: the head of a frame of rows.
  static constexpr std::size_t kAhead = 44;

  const Socket& socket_;
  const bool reads_ahead_;
  std::array<char, kAhead> ahead_{};
  std::size_t begin_ = 0, end_ = 0;  // of what is kept
};

}  // namespace baton::runtime
