#include "formats/token/utf8_stream.hpp"

namespace baton::token {
namespace {

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

bool continues(std::string_view held, unsigned char c) {
  const auto lead = static_cast<unsigned char>(held[0]);
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (held.size() == 1) {  // no overlong forms, surrogates, or points past U+10FFFF
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  }
  return c >= low && c <= high;
}

}  // namespace

void Utf8Stream::push(std::string_view bytes, std::string& out) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    if (!held_.empty()) {
      if (continues(held_, c)) {
        held_ += bytes[i];
        if (--missing_ == 0) {
          out += held_;
          held_.clear();
        }
        continue;
      }
      finish(out);
    }
    if (c < 0x80) {
      out += bytes[i];
    } else if (c >= 0xC2 && c <= 0xF4) {
      held_ = bytes[i];
      missing_ = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    } else {
      out += kReplacementCharacter;
    }
  }
}

void Utf8Stream::finish(std::string& out) {
  if (!held_.empty()) out += kReplacementCharacter;
  held_.clear();
}

}  // namespace baton::token
