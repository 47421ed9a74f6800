#pragma once
// A pool's precise prefix match: what its engines tell of their KV caches, against the tokens of a
// prompt. Engines that are not in sync are left to the approximate index.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "net/zmtp/socket.hpp"
#include "routing/index/event_index.hpp"
#include "routing/pick/prompt_tokens.hpp"
#include "routing/schedule/plugin.hpp"
#include "routing/watch/kv_cache_metrics.hpp"
#include "routing/watch/kv_follower.hpp"

namespace baton::pick {

// A prompt as its request has it.
struct TextPrompt {
  openai::Api api = openai::Api::kChat;
  std::string_view body;
  std::string_view model;
  std::string_view salt = {};                // cache_salt
  std::span<const token::TokenId> ids = {};  // of a prompt that came as such, in place of the body
};

// The same as engines name its blocks.
struct KeyedPrompt {
  std::vector<kv::BlockKey> keys;  // of its whole blocks
  std::size_t tokens = 0;
};

// Thread-safe. Owns the follower's thread.
class PrecisePrefix {
 public:
  struct Deps {  // must outlive it
    const Clock& clock;
    observe::Registry& registry;
  };
  // kNotFound, kInvalid, kUnsupported: the tokenizer, or the address to listen on, cannot be used;
  // kConflict: that is in use.
  static Result<std::unique_ptr<PrecisePrefix>> open(const schedule::PreciseParameters& parameters,
                                                     Deps deps);
  ~PrecisePrefix();

  // nullopt, counted: it cannot be tokenized; compare bytes. Costs milliseconds for long prompts
  // that are new: off the loops.
  std::optional<KeyedPrompt> read(const TextPrompt& prompt);

  void update(const std::vector<schedule::Endpoint>& endpoints) { follower_.update(endpoints); }
  bool in_sync(schedule::Slot slot) const { return follower_.in_sync(slot); }
  // By slot, blocks of block_tokens(): held from the prompt's beginning, and weighed by tiers.
  void match(const KeyedPrompt& prompt, std::span<std::uint32_t> held,
             std::span<std::uint32_t> weighted) const;
  void routed(schedule::Slot slot, const KeyedPrompt& prompt) {
    follower_.routed(slot, prompt.keys);
  }
  std::size_t block_tokens() const { return index_.config().block_tokens; }

  // What an engine reports of a prompt that it was predicted to hold so much of. vLLM reports
  // nothing instead of 0, and always nothing without --enable-prompt-tokens-details: so nothing
  // counts as 0 once any engine has reported something.
  void reported(std::uint64_t predicted_tokens, std::optional<std::uint64_t> cached_tokens);

 private:
  PrecisePrefix(const schedule::PreciseParameters& parameters, Deps deps,
                std::unique_ptr<PromptTokens> tokens, zmtp::Fd listener);

  Result<std::vector<token::TokenId>> tokens_of(const TextPrompt& prompt);

  struct Meters;
  Deps deps_;
  std::unique_ptr<PromptTokens> tokens_;  // null: no tokenizer
  std::unique_ptr<Meters> meters_;
  std::unique_ptr<watch::KvLookupMetrics> lookups_;  // null: nobody asks for them
  std::atomic<bool> engines_report_ = false;
  index::EventIndex index_;
  watch::KvFollower follower_;
};

}  // namespace baton::pick
