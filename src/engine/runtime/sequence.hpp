#pragma once
// One request inside the engine.
//
//   kWaiting ──admit──> kRunning ──finish──> gone
//      ^  └─admit, remote KV─> kPulling ──arrived──> kRunning
//      └──preempt── kRunning          └──failed, fetched less──> kRunning (computes the rest)

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"
#include "engine/runtime/block_pool.hpp"
#include "engine/runtime/engine.hpp"
#include "engine/runtime/vllm_hash.hpp"

namespace baton::runtime {

struct Sequence {
  enum class State : std::uint8_t { kWaiting, kPulling, kRunning };

  GenerateRequest request;
  std::uint64_t serial = 0;     // order of arrival; unique
  std::uint64_t seed = 0;       // of its random stream
  std::vector<TokenId> tokens;  // prompt, then what was drawn
  std::size_t prompt = 0;       // tokens of it that are the prompt
  std::size_t most = 0;         // tokens at which it ends with kLength
  State state = State::kWaiting;
  bool wants_remote = false;  // the prompt's KV is elsewhere and has not been tried yet
  bool reported = false;      // its PromptReport was sent
  bool abandoned = false;     // its last event was sent, but a pull still writes to its blocks

  std::size_t computed = 0;             // tokens whose KV is in `blocks`
  std::vector<BlockIndex> blocks;       // covers all of `tokens` once admitted
  kv::Digest root;                      // what its first block's name follows: its cache salt
  std::vector<kv::Digest> names;        // of the full blocks of `tokens`
  std::vector<VllmHash::Bytes> hashes;  // of the same, as far as events needed them
  std::size_t published = 0;            // blocks offered to the prefix cache

  std::vector<TokenLogprob> scores;  // of the prompt from its second token on, as far as computed
  PromptReport report;
  Mono arrived;
  Mono admitted;  // latest admission, or end of the pull
  Mono renewed;   // when the remote lease was last known or told to live
  std::optional<kv::TransferParams> announced;     // its lease, granted before it was computed
  std::shared_ptr<std::atomic<bool>> cancel_pull;  // shared with the pulling thread

  // All of the prompt is computed here, in small pieces: each token's logits are wanted.
  bool scores_prompt() const { return request.sampling.prompt_logprobs && !reported; }
  // Who goes first: in line, in the budget of a step, and last to give its blocks up.
  std::pair<std::int64_t, std::uint64_t> rank() const { return {request.priority, serial}; }
  std::size_t drawn() const { return tokens.size() - prompt; }
  bool decoding() const { return computed + 1 == tokens.size() && drawn() > 0; }
};

}  // namespace baton::runtime
