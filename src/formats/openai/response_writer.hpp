#pragma once
// Answers as vLLM writes them. A streamed chunk is appended to a buffer from ready-made parts: no
// JSON value is built per token.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/text/json.hpp"
#include "formats/openai/error_body.hpp"

namespace baton::openai {

enum class Endpoint : std::uint8_t { kChat, kCompletions };

struct Usage {
  std::uint64_t prompt = 0;
  std::uint64_t completion = 0;
  std::optional<std::uint64_t> cached;  // with --enable-prompt-tokens-details
};

// A token and how likely it was.
struct Likely {
  std::string token;  // its text
  std::string bytes;  // the raw ones
  float logprob = 0;
};
struct TokenLikely {
  Likely chosen;
  std::vector<Likely> top;
};

// The stop string or stop token id that matched; neither for EOS.
using StopReason = std::variant<std::monostate, std::string, std::uint32_t>;

// The end of an answer.
struct Ending {
  std::string_view finish_reason;  // "stop", "length"
  StopReason stop_reason;
};

struct AnswerHead {
  Endpoint endpoint = Endpoint::kChat;
  std::string id;
  std::int64_t created = 0;  // s since 1970
  std::string model;
};

struct Piece {
  std::string_view text = {};
  std::optional<std::span<const TokenLikely>> logprobs = {};  // absent: not asked for
  const Usage* usage = nullptr;                               // continuous_usage_stats
  const Ending* ending = nullptr;
  std::size_t text_offset = 0;  // completions: where the text begins in the answer
};

// A streamed answer. Confined to its owner.
class ChunkWriter {
 public:
  explicit ChunkWriter(const AnswerHead& head);

  void role(std::string& out, const Usage* usage) const;  // chat: the first chunk
  void piece(std::string& out, const Piece& piece) const;
  void usage(std::string& out, const Usage& usage) const;
  static void done(std::string& out) { out += "data: [DONE]\n\n"; }
  static void error(std::string& out, const ErrorBody& error);

 private:
  Endpoint endpoint_;
  std::string start_;  // data: {"id":…,"choices":[
};

struct Answer {
  std::string text;
  std::optional<std::vector<TokenLikely>> logprobs;
  Ending ending;
  Usage usage;
  text::json::Value kv_transfer_params;  // null: none
};
std::string write_answer(const AnswerHead& head, const Answer& answer);

}  // namespace baton::openai
