#pragma once
// The protobuf wire format (protobuf.dev/programming-guides/encoding): fields read one by one, and
// written. No descriptors: callers know their field numbers.

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/core/result.hpp"

namespace baton::proto {

enum class Wire : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kGroup = 3, kFixed32 = 5 };

inline constexpr int kMaxGroupDepth = 32;  // groups are obsolete; they are passed over

struct Field {
  std::uint32_t number = 0;
  Wire wire = Wire::kVarint;
  std::uint64_t number_value = 0;  // kVarint, kFixed64, kFixed32
  std::string_view bytes;          // kBytes: text, bytes or a message
  std::string_view raw;            // tag and value as they came: for fields that are not known

  bool flag() const { return number_value != 0; }
  std::int64_t signed_value() const { return static_cast<std::int64_t>(number_value); }
  std::int64_t zigzag() const {
    return static_cast<std::int64_t>((number_value >> 1) ^ (0 - (number_value & 1)));
  }
  double real() const { return std::bit_cast<double>(number_value); }  // kFixed64
};

// Reads the fields of one message; views into it.
class Reader {
 public:
  explicit Reader(std::string_view message) : all_(message), rest_(message) {}

  // False at the end, or where the message is broken.
  bool next(Field& field);
  // kInvalid with the offset, when it was broken.
  Status status() const;

 private:
  bool read_varint(std::uint64_t& value);
  bool read_value(Field& field);
  bool skip_group(std::uint32_t number, int depth);
  bool fail(const char* why);

  std::string_view all_;
  std::string_view rest_;
  const char* wrong_ = nullptr;
};

// Appends fields. Values are written even when they are the default.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void varint(std::uint32_t number, std::uint64_t value) {
    tag(number, Wire::kVarint);
    raw_varint(value);
  }
  void flag(std::uint32_t number, bool value) { varint(number, value ? 1 : 0); }
  void bytes(std::uint32_t number, std::string_view value) {
    tag(number, Wire::kBytes);
    raw_varint(value.size());
    out_ += value;
  }
  void fixed64(std::uint32_t number, std::uint64_t value);
  void fixed32(std::uint32_t number, std::uint32_t value);
  void real(std::uint32_t number, double value) {
    fixed64(number, std::bit_cast<std::uint64_t>(value));
  }
  // Field::raw.
  void raw(std::string_view field) { out_ += field; }

  // A message as a field: `write(*this)` appends its fields.
  template <class F>
  void message(std::uint32_t number, F&& write) {
    tag(number, Wire::kBytes);
    const std::size_t at = out_.size();
    out_ += '\0';  // most messages are shorter than 128 bytes
    write(*this);
    patch_length(at);
  }

 private:
  void tag(std::uint32_t number, Wire wire) {
    raw_varint(std::uint64_t{number} << 3 | static_cast<std::uint64_t>(wire));
  }
  void raw_varint(std::uint64_t value) {
    while (value >= 0x80) {
      out_ += static_cast<char>(value | 0x80);
      value >>= 7;
    }
    out_ += static_cast<char>(value);
  }
  void patch_length(std::size_t at);

  std::string& out_;
};

}  // namespace baton::proto
