#pragma once
// A chat decoded in chunks (--decode-chunk-size): each further request continues the text so far,
// and the client sees one answer. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/openai/splice.hpp"

namespace baton::sidecar {

// Of one request. Refers to the body's index, which must outlive it.
class ChunkedDecode {
 public:
  // `size` tokens a chunk. nullopt: one pass serves, or the request is one that cannot be continued
  // as text: several choices, tools, log probabilities, a structured answer, min_tokens beyond a
  // chunk, a last message that is to be continued already.
  static std::optional<ChunkedDecode> plan(const openai::BodyIndex& body, std::int64_t size);

  bool streamed() const { return streamed_; }
  bool begun() const { return chunks_ > 0; }
  // The chunk that is due asks for tokens by a number, which the client did not: the engine refuses
  // it where the context has no room for all of them.
  bool may_lack_room() const { return !left_ && !rest_; }
  // The chunk that is due has no limit, and is the last.
  void ask_for_rest() { rest_ = true; }
  // Refused now too, an engine that has continued text before has no room for any more.
  bool is_full() const { return rest_ && chunks_ > 1; }
  // Nothing follows: event() is the end of the text so far.
  void end() {
    content_.clear();
    more_ = false;
  }
  // Of the client's body, for the chunk that is due.
  std::vector<openai::Edit> edits() const;
  // An engine's answer. Whether another chunk is due. kInvalid: it is no chat completion.
  // kUnsupported: it is the first and begins with reasoning, which is not continued as text.
  Result<bool> take(std::string_view answer);

  std::string event() const;    // the chunk taken last, as an event
  std::string closing() const;  // the usage of all chunks as an event, and the end
  std::string whole() const;    // all chunks as one answer

 private:
  ChunkedDecode(const openai::BodyIndex& body, std::int64_t size) : body_(&body), size_(size) {}
  text::json::Value usage() const;
  std::int64_t due() const;

  const openai::BodyIndex* body_;
  std::int64_t size_;
  std::optional<std::int64_t> left_{};  // unset: no limit
  bool rest_ = false;
  bool streamed_ = false;
  std::size_t chunks_ = 0;
  std::string text_;     // of all chunks
  std::string content_;  // of the last one
  text::json::Value first_usage_;
  std::int64_t generated_ = 0;
  text::json::Value id_;
  text::json::Value last_;  // answer
  bool more_ = true;
};

}  // namespace baton::sidecar
