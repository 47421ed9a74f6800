#pragma once
// A strict reader and a writer of MessagePack, for bytes from outside: no tree, no allocation but
// for what the caller keeps. Format bytes: the MessagePack specification (msgpack.org), "Formats".

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace baton::kv::msgpack {

enum class Kind : std::uint8_t { kNil, kBool, kInt, kFloat, kText, kBytes, kArray, kMap, kOther };

inline constexpr std::size_t kMaxDepth = 16;  // of values within values, for skip()

// Reads one value after the other. What does not fit, or is of another kind, fails the reader for
// good: everything after gives nothing. A view into the bytes, which must outlive it.
class Reader {
 public:
  explicit Reader(std::string_view bytes)
      : at_(reinterpret_cast<const unsigned char*>(bytes.data())), end_(at_ + bytes.size()) {}

  bool ok() const { return ok_; }
  bool done() const { return ok_ && at_ == end_; }
  // Of the next value; kOther at the end.
  Kind peek() const;

  // True, with the value taken, when the next one is nil.
  bool nil();
  bool boolean();
  // Of any width; also a signed one, as its two's complement.
  std::uint64_t integer();
  // A number that fits 32 bits, not negative.
  std::uint32_t small() {
    if (at_ != end_ && *at_ < 0x80) return *at_++;
    if (end_ - at_ >= 3 && *at_ == 0xcd) {  // most token ids
      at_ += 3;
      return static_cast<std::uint32_t>(at_[-2] << 8 | at_[-1]);
    }
    return small_otherwise();
  }
  double number();  // an integer too
  // A string or bytes.
  std::string_view text();
  // How many items follow, or pairs. Never more than bytes are left for.
  std::uint32_t array();
  std::uint32_t map();
  // Passes over one value, however it is nested up to kMaxDepth.
  void skip();
  void fail() {
    ok_ = false;
    at_ = end_;
  }

 private:
  bool need(std::size_t bytes) {
    if (static_cast<std::size_t>(end_ - at_) >= bytes) return true;
    fail();
    return false;
  }
  std::uint64_t big_endian(std::size_t bytes);
  std::uint32_t small_otherwise();
  std::uint32_t length(unsigned char fix, unsigned char mask, unsigned char wide);
  std::string_view take(std::size_t bytes);

  const unsigned char* at_;
  const unsigned char* end_;
  bool ok_ = true;
};

// Shortest forms. Contract: lengths below 2^32.
class Writer {
 public:
  void nil() { byte(0xc0); }
  void integer(std::uint64_t value);
  void number(double value);
  void text(std::string_view value);
  void array(std::size_t items);
  void map(std::size_t pairs);
  std::string take() { return std::move(out_); }

 private:
  void byte(unsigned value) { out_.push_back(static_cast<char>(value)); }
  void big_endian(std::uint64_t value, std::size_t bytes);
  std::string out_;
};

}  // namespace baton::kv::msgpack
