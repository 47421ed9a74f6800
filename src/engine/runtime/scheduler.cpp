#include "engine/runtime/scheduler.hpp"

#include <algorithm>

#include "base/core/assert.hpp"
#include "engine/runtime/cache_log.hpp"

namespace baton::runtime {
namespace {

void insert_by_rank(auto& list, Sequence* sequence) {
  list.insert(std::ranges::upper_bound(list, sequence->rank(), {}, &Sequence::rank), sequence);
}

// Tokens of a step in which all of them have logits: [64, 150k] are 38 MB.
constexpr std::size_t kScoredChunk = 64;

// How many tokens the sequence computes next, `done` of them being there.
std::size_t chunk(const Sequence& sequence, std::size_t done, std::size_t budget) {
  const std::size_t most = sequence.scores_prompt() ? std::min(budget, kScoredChunk) : budget;
  return std::min(most, sequence.tokens.size() - done);
}

}  // namespace

struct Scheduler::Outlook {
  std::size_t free_blocks;
  std::size_t budget;                                   // tokens
  std::vector<Sequence*> left;                          // running and not preempted, by rank
  std::unordered_map<BlockIndex, std::size_t> dropped;  // references given up by preemption
  std::size_t coming = 0;  // blocks that only a lease holds, which ends with its preempted prompt
};

void Scheduler::add(std::unique_ptr<Sequence> sequence) {
  sequence->state = Sequence::State::kWaiting;
  sequence->root = pool_.root(sequence->request.cache_salt);
  if (limits_.prefix_caching) extend_names(*sequence);
  insert_by_rank(waiting_, sequence.get());
  by_id_.emplace(sequence->request.id, sequence.get());
  sequences_.emplace(sequence->serial, std::move(sequence));
}

Sequence* Scheduler::find(std::string_view id) {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

Sequence* Scheduler::find(std::uint64_t serial) {
  const auto it = sequences_.find(serial);
  return it == sequences_.end() ? nullptr : it->second.get();
}

std::vector<Sequence*> Scheduler::all() {
  std::vector<Sequence*> out;
  for (auto& [serial, sequence] : sequences_) out.push_back(sequence.get());
  std::ranges::sort(out, {}, &Sequence::serial);
  return out;
}

Plan Scheduler::plan(std::size_t most_beside) const {
  Plan plan;
  Outlook outlook{pool_.free(), limits_.max_tokens, running_, {}, 0};
  plan_decode(plan, outlook);
  if (!plan.work.empty()) outlook.budget = std::min(outlook.budget, most_beside);
  plan_prefill(plan, outlook);
  if (plan.preempt.empty()) plan_admissions(plan, outlook);
  return plan;
}

void Scheduler::plan_decode(Plan& plan, Outlook& outlook) const {
  for (std::size_t i = 0; i < outlook.left.size() && outlook.budget > 0; ++i) {
    Sequence* const sequence = outlook.left[i];
    if (!sequence->decoding()) continue;
    const std::size_t more = blocks_for(sequence->tokens.size()) - sequence->blocks.size();
    // The last in rank make room, the sequence itself when it is the last.
    while (outlook.free_blocks + outlook.coming < more && outlook.left.size() > i) {
      Sequence* const victim = outlook.left.back();
      outlook.left.pop_back();
      plan.preempt.push_back(victim);
      for (const BlockIndex block : victim->blocks) {
        const std::size_t kept = pool_.refs(block) - ++outlook.dropped[block];
        if (kept == 0) ++outlook.free_blocks;
        if (kept == 1 && victim->announced) ++outlook.coming;
      }
    }
    if (outlook.left.size() <= i) break;
    if (outlook.free_blocks < more) {  // the next step has them
      outlook.coming -= more - outlook.free_blocks;
      outlook.free_blocks = 0;
      continue;
    }
    outlook.free_blocks -= more;
    outlook.budget -= 1;
    plan.work.push_back({sequence, 1});
  }
}

void Scheduler::plan_prefill(Plan& plan, Outlook& outlook) const {
  for (Sequence* const sequence : outlook.left) {
    if (outlook.budget == 0) return;
    if (sequence->decoding()) continue;
    const std::size_t tokens = chunk(*sequence, sequence->computed, outlook.budget);
    outlook.budget -= tokens;
    plan.work.push_back({sequence, tokens});
  }
}

void Scheduler::plan_admissions(Plan& plan, Outlook& outlook) const {
  std::size_t active = running_.size() + pulling_.size();
  for (Sequence* const sequence : waiting_) {
    if (active >= limits_.max_seqs) return;
    if (outlook.budget == 0 && !sequence->wants_remote) return;
    const std::size_t tokens = sequence->tokens.size();
    std::vector<BlockIndex> cached;
    // The last token is always computed: its logits are wanted.
    if (limits_.prefix_caching && !sequence->scores_prompt())
      cached = pool_.match(sequence->tokens, sequence->names, (tokens - 1) / pool_.block_size());
    std::size_t needed = blocks_for(tokens) - cached.size();
    for (const BlockIndex block : cached) needed += pool_.refs(block) == 0 ? 1 : 0;
    if (needed > outlook.free_blocks) return;  // no overtaking: the first in line gets its turn
    outlook.free_blocks -= needed;
    ++active;
    if (!sequence->wants_remote) {
      const std::size_t hit = cached.size() * pool_.block_size();
      const std::size_t work = chunk(*sequence, hit, outlook.budget);
      outlook.budget -= work;
      plan.work.push_back({sequence, work});
    }
    plan.admit.push_back({sequence, std::move(cached)});
  }
}

void Scheduler::apply(const Plan& plan) {
  for (Sequence* const sequence : plan.preempt) preempt(*sequence);
  // Hits first: an allocation could evict them.
  for (const Plan::Admission& admission : plan.admit) pool_.acquire(admission.cached);
  for (const Plan::Admission& admission : plan.admit) admit(admission);
  for (const Plan::Work& work : plan.work) {
    Sequence& sequence = *work.sequence;
    while (sequence.blocks.size() < blocks_for(sequence.tokens.size()))
      sequence.blocks.push_back(pool_.allocate());
  }
}

void Scheduler::preempt(Sequence& sequence) {
  std::erase(running_, &sequence);
  pool_.release(sequence.blocks);
  sequence.blocks.clear();
  sequence.computed = 0;
  sequence.published = 0;
  sequence.state = Sequence::State::kWaiting;
  insert_by_rank(waiting_, &sequence);
}

void Scheduler::admit(const Plan::Admission& admission) {
  Sequence& sequence = *admission.sequence;
  std::erase(waiting_, &sequence);
  sequence.blocks = admission.cached;
  sequence.published = sequence.blocks.size();
  sequence.computed = sequence.blocks.size() * pool_.block_size();
  while (sequence.blocks.size() < blocks_for(sequence.tokens.size()))
    sequence.blocks.push_back(pool_.allocate());
  if (sequence.wants_remote) {
    sequence.state = Sequence::State::kPulling;
    pulling_.push_back(&sequence);
  } else {
    sequence.state = Sequence::State::kRunning;
    insert_by_rank(running_, &sequence);
  }
}

void Scheduler::computed(Sequence& sequence, std::size_t tokens) {
  sequence.computed += tokens;
  BATON_ASSERT(sequence.computed <= sequence.tokens.size());
  publish(sequence);
}

void Scheduler::pulled(Sequence& sequence, std::size_t tokens) {
  BATON_ASSERT(sequence.state == Sequence::State::kPulling);
  std::erase(pulling_, &sequence);
  sequence.state = Sequence::State::kRunning;
  sequence.wants_remote = false;
  insert_by_rank(running_, &sequence);
  computed(sequence, tokens);
}

void Scheduler::publish(Sequence& sequence) {
  if (!limits_.prefix_caching) return;
  const std::size_t size = pool_.block_size();
  extend_names(sequence);
  for (; (sequence.published + 1) * size <= sequence.computed; ++sequence.published) {
    const auto at = sequence.published;
    const bool fresh = pool_.publish(sequence.blocks[at], sequence.names[at],
                                     std::span(sequence.tokens).subspan(at * size, size));
    if (fresh && log_ != nullptr) log_->stored(sequence, at, size);
  }
}

void Scheduler::finish(Sequence& sequence) {
  const auto gone = take(sequence);
  pool_.release(gone->blocks);
}

std::vector<BlockIndex> Scheduler::finish_keeping(Sequence& sequence, std::size_t tokens) {
  const auto gone = take(sequence);
  std::vector<BlockIndex> kept = std::move(gone->blocks);
  const std::size_t keep = blocks_for(tokens);
  BATON_ASSERT(gone->computed >= tokens && kept.size() >= keep);
  pool_.release(std::span(kept).subspan(keep));
  kept.resize(keep);
  return kept;
}

void Scheduler::forget_id(const Sequence& sequence) {
  const auto it = by_id_.find(sequence.request.id);
  if (it != by_id_.end() && it->second == &sequence) by_id_.erase(it);
}

std::unique_ptr<Sequence> Scheduler::take(Sequence& sequence) {
  std::erase(running_, &sequence);
  std::erase(waiting_, &sequence);
  std::erase(pulling_, &sequence);
  forget_id(sequence);
  auto node = sequences_.extract(sequence.serial);
  BATON_ASSERT(!node.empty());
  return std::move(node.mapped());
}

}  // namespace baton::runtime
