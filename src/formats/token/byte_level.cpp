#include "formats/token/byte_level.hpp"

namespace baton::token {
namespace {

bool printable(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

std::string two_bytes(int point) {
  if (point < 0x80) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
}

constexpr int kPoints = 0x100 + 68;  // 188 bytes stand for themselves, 68 from U+0100 on

// point -> byte, -1 for others
std::array<int, kPoints> points_to_bytes() {
  std::array<int, kPoints> out;
  out.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte)
    out[static_cast<std::size_t>(printable(byte) ? byte : next++)] = byte;
  return out;
}

}  // namespace

const std::array<std::string, 256>& byte_characters() {
  static const auto table = [] {
    std::array<std::string, 256> out;
    const auto points = points_to_bytes();
    for (int point = 0; point < kPoints; ++point) {
      const int byte = points[static_cast<std::size_t>(point)];
      if (byte >= 0) out[static_cast<std::size_t>(byte)] = two_bytes(point);
    }
    return out;
  }();
  return table;
}

std::optional<std::string> bytes_of(std::string_view spelling) {
  static const auto points = points_to_bytes();
  std::string out;
  for (std::size_t i = 0; i < spelling.size(); ++i) {
    const auto c = static_cast<unsigned char>(spelling[i]);
    int point = c;
    if (c >= 0x80) {
      if ((c & 0xE0) != 0xC0 || i + 1 >= spelling.size()) return std::nullopt;
      point = ((c & 0x1F) << 6) | (static_cast<unsigned char>(spelling[++i]) & 0x3F);
    }
    const int byte = point < kPoints ? points[static_cast<std::size_t>(point)] : -1;
    if (byte < 0) return std::nullopt;
    out += static_cast<char>(byte);
  }
  return out;
}

}  // namespace baton::token
