#include "routing/sidecar/usage_fix.hpp"

#include <array>
#include <vector>

#include "formats/openai/splice.hpp"

namespace baton::sidecar {

namespace {
using openai::BodyIndex;
using openai::Edit;
using openai::Where;

// Searched without the first quote: a chunk has many quotes, and few of this letter.
constexpr std::string_view kUsage = "usage\"";
constexpr std::string_view kDetails = "prompt_tokens_details";
}  // namespace

std::optional<std::string> with_cached_tokens(std::string_view body, std::int64_t cached) {
  auto index = BodyIndex::scan(body, "usage");
  if (!index || !index->has_nested()) return std::nullopt;
  std::array<Edit, 1> inner = {Edit{"cached_tokens", std::to_string(cached)}};
  auto details = index->find(kDetails, Where::kNested);
  auto inside = BodyIndex::scan(details && *details != "null" ? *details : "{}");
  if (!inside) return std::nullopt;  // no object: not ours to touch
  std::array<Edit, 1> outer = {Edit{kDetails, inside->splice(inner).join(), Where::kNested}};
  return index->splice(outer).join();
}

void StreamUsageFix::take(std::string_view line) {
  static constexpr std::string_view kPrefix = "data: ";
  if (line.starts_with(kPrefix) && line.find(kUsage) != std::string_view::npos) {
    std::string_view end = line.ends_with("\r\n") ? "\r\n" : line.ends_with('\n') ? "\n" : "";
    std::string_view json = line.substr(kPrefix.size(), line.size() - kPrefix.size() - end.size());
    if (auto fixed = with_cached_tokens(json, cached_)) {
      out_ += kPrefix;
      out_ += *fixed;
      out_ += end;
      return;
    }
  }
  out_ += line;
}

std::optional<std::string_view> StreamUsageFix::feed(std::string_view piece) {
  // The usual chunk: whole lines, no usage. It goes on without a copy.
  if (lines_.rest().empty() && piece.ends_with('\n') &&
      piece.find(kUsage) == std::string_view::npos) {
    return piece;
  }
  out_.clear();
  if (!lines_.feed(piece, [this](std::string_view line) { take(line); })) return std::nullopt;
  return out_;
}

std::string_view StreamUsageFix::finish() {
  out_.clear();
  take(lines_.rest());
  return out_;
}

}  // namespace baton::sidecar
