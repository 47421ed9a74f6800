#pragma once
// The text of an answer as it passes by, without holding it up: from the deltas of an event stream,
// or from a JSON body. Only the first choice counts.

#include <cstdint>
#include <string>
#include <string_view>

#include "formats/openai/prompt_text.hpp"

namespace baton::openai {

inline constexpr std::size_t kMaxEventLine = std::size_t{1} << 20;   // a longer one is passed over
inline constexpr std::size_t kMaxAnswerBody = std::size_t{4} << 20;  // a longer one is not read

enum class AnswerForm : bool { kJson, kEvents };

// Fed with the body in pieces cut anywhere. Never fails: what it does not understand it skips.
class AnswerText {
 public:
  AnswerText(Api api, AnswerForm form) : api_(api), form_(form) {}

  // The text that this piece adds; valid until the next call. No allocation once warm.
  std::string_view feed(std::string_view piece);
  // At the end of the body: the text of a JSON body, nothing for an event stream.
  std::string_view finish();

  // Generated tokens: usage.completion_tokens where told, else the events that carried a choice.
  std::uint64_t tokens() const;

 private:
  void parse(std::string_view json);
  void take_line(std::string_view line);
  void collect(std::string_view piece, std::size_t limit);

  Api api_;
  AnswerForm form_;
  std::string pending_;  // the unfinished line, or the JSON body so far
  std::string text_;     // what the current call adds
  std::uint64_t events_ = 0;
  std::uint64_t usage_ = 0;
  bool overlong_ = false;
};

}  // namespace baton::openai
