#include "formats/kv/msgpack.hpp"

#include <bit>
#include <limits>

namespace baton::kv::msgpack {

Kind Reader::peek() const {
  if (at_ == end_) return Kind::kOther;
  const unsigned b = *at_;
  if (b < 0x80 || b >= 0xe0) return Kind::kInt;
  if (b < 0x90) return Kind::kMap;
  if (b < 0xa0) return Kind::kArray;
  if (b < 0xc0) return Kind::kText;
  switch (b) {
    case 0xc0:
      return Kind::kNil;
    case 0xc2:
    case 0xc3:
      return Kind::kBool;
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return Kind::kBytes;
    case 0xca:
    case 0xcb:
      return Kind::kFloat;
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return Kind::kInt;
    case 0xd9:
    case 0xda:
    case 0xdb:
      return Kind::kText;
    case 0xdc:
    case 0xdd:
      return Kind::kArray;
    case 0xde:
    case 0xdf:
      return Kind::kMap;
    default:
      return Kind::kOther;  // never used, or an extension
  }
}

std::uint64_t Reader::big_endian(std::size_t bytes) {
  if (!need(bytes)) return 0;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | *at_++;
  return value;
}

std::string_view Reader::take(std::size_t bytes) {
  if (!need(bytes)) return {};
  const std::string_view out(reinterpret_cast<const char*>(at_), bytes);
  at_ += bytes;
  return out;
}

bool Reader::nil() {
  if (at_ == end_ || *at_ != 0xc0) return false;
  ++at_;
  return true;
}

bool Reader::boolean() {
  if (peek() != Kind::kBool) fail();
  return ok_ && *at_++ == 0xc3;
}

std::uint64_t Reader::integer() {
  if (peek() != Kind::kInt) {
    fail();
    return 0;
  }
  const unsigned b = *at_++;
  if (b < 0x80) return b;
  if (b >= 0xe0) return static_cast<std::uint64_t>(static_cast<std::int8_t>(b));
  const std::size_t bytes = std::size_t{1} << (b & 3);
  const auto value = big_endian(bytes);
  if (b < 0xd0) return value;
  const auto unused = 64 - 8 * bytes;  // sign bits
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << unused) >> unused);
}

std::uint32_t Reader::small_otherwise() {
  const auto value = integer();
  if (value > std::numeric_limits<std::uint32_t>::max()) fail();
  return ok_ ? static_cast<std::uint32_t>(value) : 0;
}

double Reader::number() {
  if (peek() == Kind::kInt) return static_cast<double>(static_cast<std::int64_t>(integer()));
  if (peek() != Kind::kFloat) {
    fail();
    return 0;
  }
  if (*at_++ == 0xca) {
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(big_endian(4))));
  }
  return std::bit_cast<double>(big_endian(8));
}

std::string_view Reader::text() {
  const auto kind = peek();
  if (kind != Kind::kText && kind != Kind::kBytes) {
    fail();
    return {};
  }
  const unsigned b = *at_++;
  if (b < 0xc0) return take(b & 0x1f);
  const unsigned first = b >= 0xd9 ? 0xd9 : 0xc4;
  return take(big_endian(std::size_t{1} << (b - first)));
}

std::uint32_t Reader::length(unsigned char fix, unsigned char mask, unsigned char wide) {
  const unsigned b = *at_++;
  const auto n = (b & ~unsigned{mask}) == fix ? b & mask : big_endian(b == wide ? 2 : 4);
  if (n > static_cast<std::size_t>(end_ - at_)) fail();  // a value is a byte at least
  return ok_ ? static_cast<std::uint32_t>(n) : 0;
}

std::uint32_t Reader::array() {
  if (peek() == Kind::kArray) return length(0x90, 0x0f, 0xdc);
  fail();
  return 0;
}

std::uint32_t Reader::map() {
  if (peek() == Kind::kMap) return length(0x80, 0x0f, 0xde);
  fail();
  return 0;
}

void Reader::skip() {
  std::uint64_t left[kMaxDepth + 1] = {1};  // values to pass over, by depth
  for (std::size_t depth = 0; ok_;) {
    if (left[depth] == 0) {
      if (depth-- == 0) return;
      continue;
    }
    --left[depth];
    switch (peek()) {
      case Kind::kNil:
      case Kind::kBool:
        ++at_;
        break;
      case Kind::kInt:
        integer();
        break;
      case Kind::kFloat:
        number();
        break;
      case Kind::kText:
      case Kind::kBytes:
        text();
        break;
      case Kind::kArray:
      case Kind::kMap: {
        if (depth == kMaxDepth) return fail();
        const bool pairs = peek() == Kind::kMap;
        const std::uint64_t n = pairs ? std::uint64_t{map()} * 2 : array();
        left[++depth] = n;
        break;
      }
      case Kind::kOther:
        return fail();
    }
  }
}

void Writer::big_endian(std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) byte(static_cast<unsigned>(value >> (8 * i) & 0xff));
}

void Writer::integer(std::uint64_t value) {
  if (value < 0x80) return byte(static_cast<unsigned>(value));
  const std::size_t width = value <= 0xff ? 0 : value <= 0xffff ? 1 : value <= 0xffff'ffff ? 2 : 3;
  byte(static_cast<unsigned>(0xcc + width));
  big_endian(value, std::size_t{1} << width);
}

void Writer::number(double value) {
  byte(0xcb);
  big_endian(std::bit_cast<std::uint64_t>(value), 8);
}

void Writer::text(std::string_view value) {
  if (value.size() < 32) {
    byte(0xa0 | static_cast<unsigned>(value.size()));
  } else {
    const std::size_t width = value.size() <= 0xff ? 0 : value.size() <= 0xffff ? 1 : 2;
    byte(static_cast<unsigned>(0xd9 + width));
    big_endian(value.size(), std::size_t{1} << width);
  }
  out_ += value;
}

void Writer::array(std::size_t items) {
  if (items < 16) return byte(0x90 | static_cast<unsigned>(items));
  byte(items <= 0xffff ? 0xdc : 0xdd);
  big_endian(items, items <= 0xffff ? 2 : 4);
}

void Writer::map(std::size_t pairs) {
  if (pairs < 16) return byte(0x80 | static_cast<unsigned>(pairs));
  byte(pairs <= 0xffff ? 0xde : 0xdf);
  big_endian(pairs, pairs <= 0xffff ? 2 : 4);
}

}  // namespace baton::kv::msgpack
