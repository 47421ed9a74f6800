#include "net/grpc/proto.hpp"

#include <fmt/format.h>

namespace baton::proto {

namespace {

constexpr std::uint32_t kMaxNumber = (1U << 29) - 1;
constexpr std::uint64_t kEndGroup = 4;

template <class T>
T little_endian(std::string_view bytes) {
  T value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) {
    value = static_cast<T>(value << 8 | static_cast<unsigned char>(bytes[i]));
  }
  return value;
}

template <class T>
void append_little_endian(std::string& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    out += static_cast<char>(value & 0xFF);
    value = static_cast<T>(value >> 8);
  }
}

}  // namespace

bool Reader::fail(const char* why) {
  wrong_ = why;
  return false;
}

Status Reader::status() const {
  if (wrong_ == nullptr) return {};
  return invalid(fmt::format("protobuf: {} at byte {}", wrong_, all_.size() - rest_.size()));
}

bool Reader::read_varint(std::uint64_t& value) {
  value = 0;
  for (std::size_t i = 0; i < 10; ++i) {
    if (i == rest_.size()) return fail("a number is cut off");
    const auto byte = static_cast<unsigned char>(rest_[i]);
    if (i == 9 && byte > 1) return fail("a number has over 64 bits");
    value |= std::uint64_t{byte & 0x7FU} << (7 * i);
    if (byte < 0x80) {
      rest_.remove_prefix(i + 1);
      return true;
    }
  }
  return fail("a number has over 64 bits");
}

bool Reader::read_value(Field& field) {
  switch (field.wire) {
    case Wire::kVarint:
      return read_varint(field.number_value);
    case Wire::kFixed64:
      if (rest_.size() < 8) return fail("a field is cut off");
      field.number_value = little_endian<std::uint64_t>(rest_);
      rest_.remove_prefix(8);
      return true;
    case Wire::kFixed32:
      if (rest_.size() < 4) return fail("a field is cut off");
      field.number_value = little_endian<std::uint32_t>(rest_);
      rest_.remove_prefix(4);
      return true;
    case Wire::kBytes: {
      std::uint64_t size = 0;
      if (!read_varint(size)) return false;
      if (size > rest_.size()) return fail("a field is longer than its message");
      field.bytes = rest_.substr(0, static_cast<std::size_t>(size));
      rest_.remove_prefix(field.bytes.size());
      return true;
    }
    case Wire::kGroup:
      return skip_group(field.number, 0);
  }
  return fail("an unknown wire type");
}

bool Reader::skip_group(std::uint32_t number, int depth) {
  if (depth >= kMaxGroupDepth) return fail("groups are nested too deep");
  for (;;) {
    std::uint64_t tag = 0;
    if (!read_varint(tag)) return false;
    if ((tag & 7) == kEndGroup) {
      return tag >> 3 == number || fail("a group ends that did not begin");
    }
    if (tag >> 3 == 0 || tag >> 3 > kMaxNumber) return fail("a field number out of range");
    Field inner;
    inner.number = static_cast<std::uint32_t>(tag >> 3);
    inner.wire = static_cast<Wire>(tag & 7);
    const bool good =
        inner.wire == Wire::kGroup ? skip_group(inner.number, depth + 1) : read_value(inner);
    if (!good) return false;
  }
}

bool Reader::next(Field& field) {
  if (wrong_ != nullptr || rest_.empty()) return false;
  const std::string_view from = rest_;
  std::uint64_t tag = 0;
  if (!read_varint(tag)) return false;
  if (tag >> 3 == 0 || tag >> 3 > kMaxNumber) return fail("a field number out of range");
  field = {};
  field.number = static_cast<std::uint32_t>(tag >> 3);
  field.wire = static_cast<Wire>(tag & 7);
  if (!read_value(field)) return false;
  field.raw = from.substr(0, from.size() - rest_.size());
  return true;
}

void Writer::fixed64(std::uint32_t number, std::uint64_t value) {
  tag(number, Wire::kFixed64);
  append_little_endian(out_, value);
}

void Writer::fixed32(std::uint32_t number, std::uint32_t value) {
  tag(number, Wire::kFixed32);
  append_little_endian(out_, value);
}

void Writer::patch_length(std::size_t at) {
  std::size_t size = out_.size() - at - 1;
  if (size < 0x80) {
    out_[at] = static_cast<char>(size);
    return;
  }
  char digits[10];
  std::size_t count = 0;
  for (; size >= 0x80; size >>= 7) digits[count++] = static_cast<char>(size | 0x80);
  digits[count++] = static_cast<char>(size);
  out_.replace(at, 1, digits, count);
}

}  // namespace baton::proto
