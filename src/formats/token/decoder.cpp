#include "formats/token/decoder.hpp"

#include <fmt/format.h>

#include <charconv>

#include "formats/token/byte_level.hpp"
#include "formats/token/pattern.hpp"

namespace baton::token {
namespace {

using text::json::pointer;
using text::json::Value;

// The steps of SentencePiece's shape come in this order only, each at most once.
enum class Step { kNone, kReplace, kByteFallback, kFuse, kStrip };

Status read(const Value& value, const std::string& at, int depth, Step& last, Decoder& out) {
  const std::string_view type = value.string_at({"type"});
  const auto follows = [&](Step step) {
    const bool good = !out.byte_level && last < step;
    last = step;
    return good;
  };
  if (type == "Sequence") {
    const Value* list = value.find("decoders");
    if (list == nullptr || !list->is_array() || depth > kMaxSequence)
      return invalid(at + "/decoders: expected an array");
    std::size_t i = 0;
    for (const Value& inner : *list->if_array()) {
      BATON_TRY(read(inner, pointer(at + "/decoders", i++), depth + 1, last, out));
    }
    return {};
  }
  if (type == "ByteLevel" && last == Step::kNone) {
    out.byte_level = true;
    return {};
  }
  if (type == "Fuse" && (out.byte_level || follows(Step::kFuse))) return {};
  if (type == "ByteFallback" && follows(Step::kByteFallback)) {
    out.byte_fallback = true;
    return {};
  }
  if (type == "Replace" && follows(Step::kReplace)) {
    out.mark = value.string_at({"pattern", "String"});
    out.space = value.string_at({"content"});
    if (!out.mark.empty()) return {};
    return unsupported(at + "/pattern: only a String that is not empty");
  }
  if (type == "Strip" && follows(Step::kStrip)) {
    const Value* start = value.find("start");
    const Value* stop = value.find("stop");
    const bool one = start != nullptr && *start == 1 && stop != nullptr && *stop == 0;
    if (!one || value.string_at({"content"}) != " ")
      return unsupported(at + ": a Strip of anything but one space at the start");
    out.start = Decoder::Start::kLosesASpace;
    return {};
  }
  if (type == "Metaspace" && follows(Step::kFuse)) {
    out.mark = value.string_at({"replacement"});
    if (out.mark.empty()) return invalid(at + "/replacement: expected a character");
    const bool prepends = value.find("prepend_scheme") == nullptr
                              ? flag(value, "add_prefix_space", true)
                              : value.string_at({"prepend_scheme"}) != "never";
    if (prepends) out.start = Decoder::Start::kLosesItsMarks;
    return {};
  }
  return unsupported(fmt::format("{}: a decoder of type '{}' here", at, type));
}

}  // namespace

Result<Decoder> Decoder::parse(const Value* value) {
  Decoder out;
  if (value == nullptr || value->is_null()) return unsupported("/decoder: none");
  Step last = Step::kNone;
  BATON_TRY(read(*value, "/decoder", 0, last, out));
  return out;
}

std::string Decoder::bytes(std::string_view spelling) const {
  if (byte_level) return bytes_of(spelling).value_or(std::string(spelling));
  if (const auto byte = single_byte(spelling)) return std::string(1, *byte);
  if (mark.empty()) return std::string(spelling);
  std::string out;
  std::size_t at = 0;
  for (std::size_t next = 0; (next = spelling.find(mark, at)) != std::string_view::npos;) {
    out.append(spelling, at, next - at);
    out += space;
    at = next + mark.size();
  }
  return out.append(spelling, at);
}

std::optional<char> Decoder::single_byte(std::string_view spelling) const {
  if (!byte_fallback || spelling.size() != 6 || !spelling.starts_with("<0x") || spelling[5] != '>')
    return std::nullopt;
  unsigned value = 0;
  const auto [end, error] = std::from_chars(spelling.data() + 3, spelling.data() + 5, value, 16);
  if (error != std::errc() || end != spelling.data() + 5) return std::nullopt;
  return static_cast<char>(value);
}

std::string byte_spelling(unsigned char byte) { return fmt::format("<0x{:02X}>", byte); }

}  // namespace baton::token
