#pragma once
// Bytes that came and bytes that go. Internal to net/http.

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/async/asio.hpp"

namespace baton::http {

using Tcp = asio::ip::tcp;

// Buffers of the size that connections begin with, kept for the next one that receives. Confined to
// its loop.
class SpareBuffers {
 public:
  explicit SpareBuffers(std::size_t size) : size_(size) {}

  std::vector<char> take() {
    if (spare_.empty()) return std::vector<char>(size_);
    std::vector<char> buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
  }
  std::size_t size() const { return size_; }
  void give(std::vector<char> buffer) {
    if (buffer.size() == size_ && spare_.size() < kMost) spare_.push_back(std::move(buffer));
  }

 private:
  static constexpr std::size_t kMost = 64;
  const std::size_t size_;
  std::vector<std::vector<char>> spare_;
};

// Bytes received and not yet consumed. Views stay valid until prepare() or rest(). A connection at
// rest holds no memory here.
class InBuffer {
 public:
  // The room at the beginning comes from `spare`, which outlives this; it doubles whenever a
  // receive has filled it.
  InBuffer(std::size_t limit, SpareBuffers& spare) : limit_(limit), spare_(spare) {}
  ~InBuffer() { spare_.give(std::move(data_)); }
  InBuffer(const InBuffer&) = delete;
  InBuffer& operator=(const InBuffer&) = delete;

  std::string_view view() const { return {data_.data() + begin_, end_ - begin_}; }
  char* data() { return data_.data() + begin_; }
  bool empty() const { return begin_ == end_; }
  bool full() const { return end_ - begin_ >= limit_; }
  void consume(std::size_t n) { begin_ += n; }

  // Room for the next receive. Contract: not full.
  asio::mutable_buffer prepare() {
    if (data_.empty()) data_ = spare_.take();
    if (begin_ == end_) {
      begin_ = end_ = 0;
    } else if (begin_ > 0) {
      std::memmove(data_.data(), data_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    if (grow_ || end_ == data_.size()) {
      data_.resize(std::min(limit_, data_.size() * 2));
      grow_ = false;
    }
    return {data_.data() + end_, data_.size() - end_};
  }
  void commit(std::size_t n) {
    grow_ = n == data_.size() - end_;  // the peer is faster than the buffer is big
    end_ += n;
  }
  // What filled the last receive is followed by bytes that are received elsewhere.
  void stay() { grow_ = false; }
  // Nothing comes for now. A buffer that has grown stays: its connection needs one again.
  void rest() {
    if (!empty() || data_.size() != spare_.size()) return;
    begin_ = end_ = 0;
    spare_.give(std::exchange(data_, {}));
  }

 private:
  const std::size_t limit_;
  SpareBuffers& spare_;
  std::vector<char> data_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool grow_ = false;
};

// Pieces on their way out.
class Outgoing {
 public:
  explicit Outgoing(std::span<const std::string_view> pieces) : pieces_(pieces) {}

  enum class State : std::uint8_t { kDone, kBlocked, kBroken };

  // Hands the kernel as much as it takes now, in as few calls as possible.
  State write(int fd) {
    for (;;) {
      std::array<iovec, 64> vectors;
      std::size_t count = fill(vectors);
      if (count == 0) return State::kDone;
      msghdr message{};
      message.msg_iov = vectors.data();
      message.msg_iovlen = count;
      ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? State::kBlocked : State::kBroken;
      }
      advance(static_cast<std::size_t>(sent));
    }
  }

  // What is to go next, in one stretch: up to `most` bytes, joined in `joined` unless one piece
  // has them (or is longer) anyway. Empty: everything went.
  std::string_view next(std::string& joined, std::size_t most) {
    while (index_ < pieces_.size() && pieces_[index_].size() == offset_) {
      ++index_;
      offset_ = 0;
    }
    if (index_ == pieces_.size()) return {};
    std::string_view first = pieces_[index_].substr(offset_);
    if (first.size() >= most || index_ + 1 == pieces_.size()) return first;
    joined.assign(first);
    for (std::size_t i = index_ + 1; i < pieces_.size() && joined.size() < most; ++i) {
      joined += pieces_[i].substr(0, most - joined.size());
    }
    return joined;
  }
  void advance(std::size_t n) {
    while (index_ < pieces_.size() && n >= pieces_[index_].size() - offset_) {
      n -= pieces_[index_].size() - offset_;
      offset_ = 0;
      ++index_;
    }
    offset_ += n;
  }

 private:
  std::size_t fill(std::array<iovec, 64>& vectors) const {
    std::size_t count = 0;
    std::size_t offset = offset_;
    for (std::size_t i = index_; i < pieces_.size() && count < vectors.size(); ++i) {
      std::string_view rest = pieces_[i].substr(offset);
      offset = 0;
      if (rest.empty()) continue;
      vectors[count++] = {const_cast<char*>(rest.data()), rest.size()};
    }
    return count;
  }

  std::span<const std::string_view> pieces_;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;  // into pieces_[index_]
};

}  // namespace baton::http
