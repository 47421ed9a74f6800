#pragma once
// What the router needs to know of a request body, found in one scan: the prompt as flat text for
// prefix hashing, and a few members. The engine validates the rest.
//
// The flat text of a conversation extends the flat text of its earlier turns byte for byte:
//   chat        tools (raw JSON), then per message: RS role US content      (RS 0x1E, US 0x1F)
//   completion  the prompt; token ids as 4 bytes each; several prompts joined by GS (0x1D)
//   embeddings  as a completion, of its input
//   messages    tools (raw JSON), the system's text, then as a chat
//   responses   instructions, tools, input (raw JSON); conversations: items (raw JSON)
//   generate    token ids, also of SGLang; images: nothing
// so that  flat(turn 2) = flat(turn 1) + answer_mark() + answer + RS "user" US + new message.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::openai {

enum class Api : std::uint8_t {
  kChat,
  kCompletion,
  kEmbeddings,
  kResponses,
  kConversations,
  kImages,
  kMessages,  // Anthropic's
  kGenerate,  // vLLM's /inference/v1/generate
  kSglang,    // SGLang's /generate
};

// A picture, sound or video of a prompt.
struct MediaItem {
  std::string_view kind;   // "image", "video", "audio"
  std::uint64_t hash = 1;  // of its data, address or name; not 0; the same within a process
};
inline constexpr std::size_t kMostMedia = 256;  // of a prompt; further ones are not listed
enum class Media : bool { kPass, kList };

struct PromptText {
  std::string_view text;  // valid until the reader is used again
  std::string model;      // "" when absent
  bool stream = false;
  std::int64_t n = 1;
  std::size_t tokens = 0;                   // of a prompt that came as token ids; 0: text
  std::optional<std::int64_t> most_tokens;  // to generate, where the body limits them
  std::string cache_salt;                   // prompts of different salts share nothing
  bool multimodal = false;                  // has images, sound or video
  std::vector<MediaItem> media;             // those, when asked for
  bool valid = true;  // what the API demands is there, and members that it types have their type
  // A member kv_transfer_params, in any spelling of the key, at the top, or where vLLM reads it
  // besides: in sampling_params or vllm_xargs, or in extra_args of these.
  bool has_transfer_params = false;
};

// Keeps its buffers between requests. Confined to its owner.
class PromptReader {
 public:
  PromptReader();
  ~PromptReader();

  // May reallocate `body` (spare room behind the text), never changes it.
  // kInvalid: not a JSON object, invalid UTF-8, a string with a broken escape. Members of another
  // type than expected count as absent: the engine says what is wrong with them.
  Result<PromptText> read(std::string& body, Api api, Media media = Media::kPass);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Stands between a prompt and its answer in the flat text of the next turn.
std::string_view answer_mark(Api api);

}  // namespace baton::openai
