#include "routing/pick/usage.hpp"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "base/text/json.hpp"

namespace baton::pick {
namespace {

using text::json::Value;

// Behind the object that starts at `at`; npos when it is not all there.
std::size_t object_end(std::string_view text, std::size_t at) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = at; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// A count, also one written as a string.
std::optional<std::uint64_t> count_of(const Value* value) {
  if (value == nullptr) return std::nullopt;
  if (const auto number = value->if_int(); number && *number >= 0) {
    return static_cast<std::uint64_t>(*number);
  }
  const auto* text = value->if_string();
  if (text == nullptr) return std::nullopt;
  std::uint64_t count = 0;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), count);
  if (failed != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return count;
}

void take_first(std::optional<std::uint64_t>& into, std::initializer_list<const Value*> values) {
  for (const auto* value : values) {
    if (const auto count = count_of(value)) {
      into = count;
      return;
    }
  }
}

}  // namespace

UsageScan::UsageScan(Report report)
    : report_(report), key_(report == Report::kUsage ? "\"usage\"" : "\"meta_info\"") {}

void UsageScan::feed(std::string_view piece) {
  if (carry_.empty()) {
    const auto from = take(piece);
    carry_ = piece.substr(from);
    return;
  }
  carry_ += piece;
  const auto from = take(carry_);
  carry_.erase(0, from);
}

// Reads the reports that are whole; from where on the text is still needed.
std::size_t UsageScan::take(std::string_view text) {
  std::size_t at = 0;
  for (;;) {
    const auto key = text.find(key_, at);
    if (key == std::string_view::npos) {
      // It may begin at the very end.
      for (auto tail = std::max(at, text.size() - std::min(text.size(), key_.size() - 1));
           tail < text.size(); ++tail) {
        if (key_.starts_with(text.substr(tail))) return tail;
      }
      return text.size();
    }
    const auto value = text.find_first_not_of(" \t\r\n:", key + key_.size());
    auto end = value;
    if (value != std::string_view::npos && text[value] == '{') end = object_end(text, value);
    // One that is too long is passed over as soon as that is seen: what lies in it may be another.
    at = key + key_.size();
    if (std::min(end, text.size()) - key > kMaxUsageBytes) continue;
    if (end == std::string_view::npos) return key;
    if (end == value) continue;
    read(text.substr(value, end - value));
    at = end;
  }
}

void UsageScan::read(std::string_view object) {
  const auto parsed = text::json::parse(object);
  broken_ = broken_ || !parsed;
  if (!parsed) return;
  const auto& usage = *parsed;
  if (report_ == Report::kMetaInfoOfLast) {
    const auto* finished = usage.find("finish_reason");
    if (finished == nullptr || finished->is_null()) return;
  }
  take_first(usage_.prompt, {usage.find("prompt_tokens"), usage.find("input_tokens")});
  take_first(usage_.completion, {usage.find("completion_tokens"), usage.find("output_tokens")});
  take_first(usage_.total, {usage.find("total_tokens")});
  take_first(usage_.cached, {usage.find_path({"prompt_tokens_details", "cached_tokens"}),
                             usage.find_path({"input_tokens_details", "cached_tokens"}),
                             usage.find("cache_read_input_tokens"), usage.find("cached_tokens")});
}

}  // namespace baton::pick
