#pragma once
// Continuous batching: which requests compute how many tokens in the next step. `plan` only reads;
// `apply` carries a plan out on the blocks. Knows nothing of the model, threads or clocks.
//
// Requests rank by priority, lower first, then by arrival. A step serves running requests that
// decode; then prompts in chunks, up to the token budget; then admits waiting requests: each in
// order of rank. An admitted request gets blocks for all its tokens at once, so only decoding can
// run out of blocks: then the last in rank gives all of its blocks back and waits to be computed
// again. Those of an announced prompt come back a step later, with its lease; who needs them waits.

#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/runtime/block_pool.hpp"
#include "engine/runtime/sequence.hpp"

namespace baton::runtime {

struct Limits {
  std::size_t max_seqs = 64;     // running and pulling
  std::size_t max_tokens = 512;  // per step
  bool prefix_caching = true;
};

struct Plan {
  struct Admission {
    Sequence* sequence;
    std::vector<BlockIndex> cached;  // prefix found in the cache
  };
  struct Work {
    Sequence* sequence;
    std::size_t tokens;  // from sequence->computed on
  };
  std::vector<Sequence*> preempt;  // in the order they go
  std::vector<Admission> admit;
  std::vector<Work> work;  // of running requests; admitted ones join in the same step
};

// Confined to the engine thread.
class Scheduler {
 public:
  // `log`, when there is one, learns which blocks can be found from now on.
  Scheduler(Limits limits, BlockPool& pool, CacheLog* log = nullptr)
      : limits_(limits), pool_(pool), log_(log) {}

  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  std::size_t pulling() const { return pulling_.size(); }
  bool idle() const { return running_.empty() && waiting_.empty() && pulling_.empty(); }

  // Takes a waiting request in.
  void add(std::unique_ptr<Sequence> sequence);
  Sequence* find(std::string_view id);
  Sequence* find(std::uint64_t serial);
  std::vector<Sequence*> all();

  // `most_beside`: prompt tokens of a step in which others decode.
  Plan plan(std::size_t most_beside = std::numeric_limits<std::size_t>::max()) const;
  // Afterwards every sequence in plan.work is running with blocks for its tokens, and admitted ones
  // with remote KV are pulling.
  void apply(const Plan& plan);

  // The step's tokens of `sequence` have been computed: advances and offers full blocks to the
  // prefix cache.
  void computed(Sequence& sequence, std::size_t tokens);
  // The pull of a kPulling request ended with `tokens` of its KV in its blocks.
  void pulled(Sequence& sequence, std::size_t tokens);

  // Frees the id for another request while a pull still writes to the sequence's blocks.
  void forget_id(const Sequence& sequence);
  // Lets go of its blocks and of the sequence.
  void finish(Sequence& sequence);
  // The same, but the blocks stay referenced and are handed to the caller, for a lease.
  std::vector<BlockIndex> finish_keeping(Sequence& sequence, std::size_t tokens);

 private:
  struct Outlook;  // what blocks and budget would be left while planning
  std::size_t blocks_for(std::size_t tokens) const {
    return (tokens + pool_.block_size() - 1) / pool_.block_size();
  }
  void plan_decode(Plan& plan, Outlook& outlook) const;
  void plan_prefill(Plan& plan, Outlook& outlook) const;
  void plan_admissions(Plan& plan, Outlook& outlook) const;
  void preempt(Sequence& sequence);
  void admit(const Plan::Admission& admission);
  void publish(Sequence& sequence);
  void extend_names(Sequence& sequence) const {
    pool_.extend_names(sequence.root, sequence.tokens, sequence.names);
  }
  std::unique_ptr<Sequence> take(Sequence& sequence);

  Limits limits_;
  BlockPool& pool_;
  CacheLog* log_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Sequence>> sequences_;  // by serial
  std::unordered_map<std::string_view, Sequence*> by_id_;  // keys live in the sequences
  std::vector<Sequence*> running_;                         // by rank
  std::vector<Sequence*> pulling_;
  std::deque<Sequence*> waiting_;  // by rank
};

}  // namespace baton::runtime
