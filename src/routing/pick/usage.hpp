#pragma once
// The token counts that an answer reports of itself, found while it passes by (picker reference
// 7.4): of chat, completions and responses in JSON or as events, of Anthropic's messages, of
// SGLang's /generate.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace baton::pick {

inline constexpr std::size_t kMaxUsageBytes = 4096;  // of one usage object; a longer one is skipped

struct Usage {
  std::optional<std::uint64_t> prompt, completion, cached, total;
};

// Where an answer has its report.
enum class Report : std::uint8_t {
  kUsage,
  kMetaInfo,        // SGLang's
  kMetaInfoOfLast,  // and in a stream, where only the chunk with a finish_reason counts
};

// Fed with the body in pieces cut anywhere; the last report wins, member by member. Looks only for
// the key: what has none costs one search.
class UsageScan {
 public:
  explicit UsageScan(Report report = Report::kUsage);

  void feed(std::string_view piece);
  const Usage& usage() const { return usage_; }
  // Whether a report came by that is no JSON, or is not whole yet.
  bool unread() const { return broken_ || carry_.starts_with(key_); }

 private:
  std::size_t take(std::string_view text);
  void read(std::string_view object);

  Report report_;
  std::string_view key_;
  bool broken_ = false;
  Usage usage_;
  std::string carry_;  // the end of what came, when a report may go on
};

}  // namespace baton::pick
