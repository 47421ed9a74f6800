#pragma once
// Answers as the APIs have them: whole, or as a stream of events that are appended to a buffer from
// ready-made parts (no JSON value is built per token).

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/text/json.hpp"
#include "formats/openai/error_body.hpp"

namespace baton::openai {

// kGenerate: vLLM's /inference/v1/generate; kMessages: Anthropic's.
enum class Endpoint : std::uint8_t { kChat, kCompletions, kGenerate, kMessages, kResponses };

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
  std::uint32_t id = 0;
  std::size_t rank = 1;
};
struct TokenLikely {
  Likely chosen;
  std::vector<Likely> top;
  bool is_known = true;  // not of a prompt's first token
};

// The stop string or stop token id that matched; neither for EOS.
using StopReason = std::variant<std::monostate, std::string, std::uint32_t>;

// The end of a choice.
struct Ending {
  std::string_view finish_reason;  // "stop", "length"
  StopReason stop_reason;
};

struct AnswerHead {
  Endpoint endpoint = Endpoint::kChat;
  std::string id;
  std::int64_t created = 0;  // s since 1970
  std::string model;
  text::json::Object repeated = {};  // members of the request that the answer repeats
};

using Ids = std::span<const std::uint32_t>;

// What is new of one choice.
struct Piece {
  std::size_t index = 0;  // of the choice
  std::string_view text = {};
  std::optional<std::span<const TokenLikely>> logprobs = {};  // absent: not asked for
  const Usage* usage = nullptr;                               // continuous_usage_stats
  const Ending* ending = nullptr;
  std::size_t text_offset = 0;         // completions: where the text begins in the answer
  std::optional<Ids> ids = {};         // of its tokens, when asked for
  std::optional<Ids> prompt_ids = {};  // with the first piece, when asked for
};

struct Choice {
  std::string text;
  std::optional<std::vector<TokenLikely>> logprobs = {};
  Ending ending;
  std::optional<std::vector<std::uint32_t>> ids = {};
  std::optional<std::vector<std::uint32_t>> prompt_ids = {};
  std::optional<std::vector<TokenLikely>> prompt_logprobs = {};  // the first is not known
};
struct Answer {
  std::vector<Choice> choices;  // not empty
  Usage usage;
  text::json::Value kv_transfer_params;  // null: none
};

// How a stream is wanted.
struct StreamForm {
  std::size_t choices = 1;
  bool include_usage = false;
  bool continuous_usage = false;
  std::optional<Ids> prompt_ids = {};
};

// Writes one answer. Confined to its owner.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  virtual std::string whole(const Answer& answer) const = 0;

  // A stream: begin, pieces, end; an error instead of the end. `usage`: before anything was drawn.
  virtual void begin(std::string& out, const Usage& usage) = 0;
  virtual void piece(std::string& out, const Piece& piece) = 0;
  virtual void end(std::string& out, const Usage& usage) = 0;
  virtual void error(std::string& out, const ErrorBody& error) = 0;
};

std::unique_ptr<AnswerWriter> make_writer(AnswerHead head, StreamForm form);
// An error in the form of the endpoint.
std::string error_text(Endpoint endpoint, const ErrorBody& error);

// Parts that several writers have. [{"token":…,"logprob":…,"bytes":…,"top_logprobs":…}, …]
void append_token_list(std::string& out, std::span<const TokenLikely> tokens);
// JSON has no -inf: never below -9999.
void append_logprob(std::string& out, float logprob);
// [null, {"ID":{"logprob":…,"rank":…,"decoded_token":…}, …}, …], or null.
void append_prompt_logprobs(std::string& out,
                            const std::optional<std::vector<TokenLikely>>& tokens);
// [1,2], or null.
void append_ids(std::string& out, std::optional<Ids> ids);
// {"prompt_tokens":…,"total_tokens":…,"completion_tokens":…[,"prompt_tokens_details":…]}
enum class Nulls : bool { kLeftOut, kWritten };
void append_usage(std::string& out, const Usage& usage, Nulls nulls);

}  // namespace baton::openai
