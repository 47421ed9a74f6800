#include "routing/sidecar/usage_fix.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "formats/openai/splice.hpp"

namespace baton::sidecar {

namespace {
using openai::BodyIndex;
using openai::Edit;

// Searched without the first quote: a chunk has many quotes, and few of this letter.
constexpr std::string_view kUsage = "usage\"";
constexpr std::string_view kRead = "cache_read_input_tokens";

std::optional<std::int64_t> number(const BodyIndex& object, std::string_view key) {
  auto text = object.find(key);
  std::int64_t value = 0;
  if (!text) return std::nullopt;
  auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), value);
  bool whole = failed == std::errc() && end == text->data() + text->size();
  return whole ? std::optional(value) : std::nullopt;
}

bool is_object(std::optional<std::string_view> text) { return text && text->starts_with('{'); }

// {"cached_tokens": n} within a member that may be missing or null.
std::optional<std::string> with_details(const BodyIndex& usage, std::string_view member,
                                        std::int64_t cached) {
  auto details = usage.find(member);
  auto inside = BodyIndex::scan(details && *details != "null" ? *details : "{}");
  if (!inside) return std::nullopt;  // no object: not ours to touch
  std::array<Edit, 1> inner = {Edit{"cached_tokens", std::to_string(cached)}};
  std::array<Edit, 1> outer = {Edit{member, inside->splice(inner).join()}};
  return usage.splice(outer).join();
}

// The usage object with the number put right, by the API whose members it has.
std::optional<std::string> fixed_usage(std::string_view text, std::int64_t cached) {
  auto usage = BodyIndex::scan(text);
  if (!usage) return std::nullopt;
  if (auto read = number(*usage, kRead)) {
    std::int64_t total = *read + number(*usage, "input_tokens").value_or(0);
    std::array<Edit, 2> edits = {
        Edit{kRead, std::to_string(cached)},
        Edit{"input_tokens", std::to_string(std::max<std::int64_t>(0, total - cached))}};
    return usage->splice(edits).join();
  }
  bool responses = usage->find("input_tokens_details").has_value();
  bool anthropic = usage->find("input_tokens") && !usage->find("total_tokens") && !responses;
  if (anthropic) return std::nullopt;  // it tells nothing of a cache
  if (responses || usage->find("input_tokens")) {
    return with_details(*usage, "input_tokens_details", cached);
  }
  return with_details(*usage, "prompt_tokens_details", cached);
}

std::optional<std::string> with_usage(std::string_view object, std::int64_t cached) {
  auto index = BodyIndex::scan(object);
  auto usage = index ? index->find("usage") : std::nullopt;
  if (!is_object(usage)) return std::nullopt;
  auto fixed = fixed_usage(*usage, cached);
  if (!fixed) return std::nullopt;
  std::array<Edit, 1> edits = {Edit{"usage", *std::move(fixed)}};
  return index->splice(edits).join();
}
}  // namespace

std::optional<std::string> with_cached_tokens(std::string_view body, std::int64_t cached) {
  if (auto direct = with_usage(body, cached)) return direct;
  auto index = BodyIndex::scan(body);
  if (!index) return std::nullopt;
  for (std::string_view member : {"response", "message"}) {
    auto inside = index->find(member);
    auto fixed = is_object(inside) ? with_usage(*inside, cached) : std::nullopt;
    if (!fixed) continue;
    std::array<Edit, 1> edits = {Edit{member, *std::move(fixed)}};
    return index->splice(edits).join();
  }
  return std::nullopt;
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
