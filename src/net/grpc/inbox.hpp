#pragma once
// Length-prefixed messages out of the bytes of one stream. Pure.

#include <cstdint>
#include <string>
#include <string_view>

namespace baton::grpc {

inline constexpr std::size_t kPrefixBytes = 5;  // compressed flag, length in big endian

// The prefix of a message of `size` bytes, not compressed.
inline void append_prefix(std::string& out, std::size_t size) {
  out += '\0';
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>(size >> static_cast<unsigned>(shift) & 0xFF);
  }
}

// Bytes are credited (given back to flow control) only for the message that the reader asks for:
// what is not asked for holds the sender back. No allocation once the buffers have grown.
class Inbox {
 public:
  explicit Inbox(std::size_t message_limit) : limit_(message_limit) {}

  void add(std::string_view bytes) { in_ += bytes; }
  bool empty() const { return at_ == in_.size(); }

  // kCompressed is a message, too, as the stream's grpc-encoding has it.
  enum class State : std::uint8_t { kNeedMore, kMessage, kTooLong, kCompressed };
  // The next message; the view is valid until the next call of next().
  State next(std::string_view& message) {
    const std::string_view rest = std::string_view(in_).substr(at_);
    if (rest.size() < kPrefixBytes) {
      credit(rest.size());
      return State::kNeedMore;
    }
    const std::size_t size = length(rest);
    const auto state = rest[0] == '\0' ? State::kMessage : State::kCompressed;
    if (size > limit_) return State::kTooLong;
    const std::size_t whole = kPrefixBytes + size;
    if (rest.size() < whole) {
      credit(rest.size());
      return State::kNeedMore;
    }
    credit(whole);
    credited_ = 0;
    take(whole);
    message = std::string_view(message_).substr(message_.size() - size);
    return state;
  }
  std::size_t limit() const { return limit_; }
  // The length that the next message claims. Contract: kTooLong.
  std::size_t claimed() const { return length(std::string_view(in_).substr(at_)); }

  // Bytes to give back since the last call.
  std::size_t take_credit() {
    const std::size_t due = due_;
    due_ = 0;
    return due;
  }

 private:
  static constexpr std::size_t kCompactAt = 64 << 10;

  static std::size_t length(std::string_view rest) {
    std::size_t size = 0;
    for (std::size_t i = 1; i < kPrefixBytes; ++i) {
      size = size << 8 | static_cast<unsigned char>(rest[i]);
    }
    return size;
  }
  // Of the front message, `bytes` may be given back.
  void credit(std::size_t bytes) {
    due_ += bytes - credited_;
    credited_ = bytes;
  }
  // Moves the front message out of the way of what comes after it.
  void take(std::size_t whole) {
    if (at_ == 0 && in_.size() == whole) {
      message_.swap(in_);  // the usual case: no copy
      in_.clear();
      return;
    }
    message_.assign(in_, at_, whole);
    at_ += whole;
    if (at_ == in_.size()) {
      in_.clear();
      at_ = 0;
    } else if (at_ >= kCompactAt && at_ * 2 >= in_.size()) {
      in_.erase(0, at_);
      at_ = 0;
    }
  }

  std::size_t limit_;
  std::string in_;
  std::size_t at_ = 0;  // of in_: the next message
  std::string message_;
  std::size_t credited_ = 0;  // of the next message
  std::size_t due_ = 0;
};

}  // namespace baton::grpc
