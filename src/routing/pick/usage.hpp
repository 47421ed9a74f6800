#pragma once
// The token counts that an answer reports of itself, found while it passes by (picker reference
// 7.4): of chat, completions and responses in JSON or as events, of Anthropic's messages.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace baton::pick {

inline constexpr std::size_t kMaxUsageBytes = 4096;  // of one usage object; a longer one is skipped

struct Usage {
  std::optional<std::uint64_t> prompt, completion, cached;
};

// Fed with the body in pieces cut anywhere; the last report wins, member by member. Looks only for
// the key: what has none costs one search.
class UsageScan {
 public:
  void feed(std::string_view piece);
  const Usage& usage() const { return usage_; }

 private:
  std::size_t take(std::string_view text);
  void read(std::string_view object);

  Usage usage_;
  std::string carry_;  // the end of what came, when a report may go on
};

}  // namespace baton::pick
