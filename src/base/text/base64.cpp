#include "base/text/base64.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdint>

namespace baton::text {

namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::int8_t, 256> make_values() {
  std::array<std::int8_t, 256> out{};
  out.fill(-1);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    out[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::int8_t>(i);
  }
  return out;
}
constexpr std::array<std::int8_t, 256> kValues = make_values();

}  // namespace

std::string base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const auto have = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = (group << 8) | (i < have ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      out += i <= have ? kAlphabet[(group >> (18 - 6 * i)) & 63] : '=';
    }
  }
  return out;
}

Result<std::string> parse_base64(std::string_view text) {
  std::string out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  std::size_t digits = 0;
  std::size_t padding = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' || c == '\r') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    const int value = kValues[static_cast<unsigned char>(c)];
    if (value < 0 || padding > 0) {
      return invalid(
          fmt::format("not base64: byte 0x{:02x} at offset {}", static_cast<unsigned char>(c), i));
    }
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    if (++digits % 4 != 1) {
      const auto left = 6 - 2 * ((digits - 1) % 4);
      out += static_cast<char>((bits >> left) & 0xFF);
    }
  }
  const std::size_t tail = digits % 4;
  if (tail == 1 || padding != (4 - tail) % 4) {
    return invalid("not base64: its length with padding is no multiple of 4");
  }
  const std::uint32_t rest = tail == 2 ? bits & 0xF : tail == 3 ? bits & 0x3 : 0;
  if (rest != 0) return invalid("not base64: bits left over at the end");
  return out;
}

}  // namespace baton::text
