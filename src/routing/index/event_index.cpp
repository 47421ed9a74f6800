#include "routing/index/event_index.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/core/assert.hpp"

namespace baton::index {
namespace {

using kv::BlockKey;

constexpr std::size_t kOther = kMaxTiers, kGuess = kMaxTiers + 1;
constexpr std::size_t kMaxIdle = 1 << 16;   // hashes per slot that nothing announces
constexpr std::size_t kMaxAdapters = 1024;  // names learnt
constexpr std::size_t kMaxGuesses = 1 << 14;
constexpr std::array<std::string_view, 4> kWholePrefixes = {"", "full_attention", "mla_attention",
                                                            "sink_full_attention"};

std::uint64_t place(Slot slot, BlockKey key) {
  return (key ^ slot * 0xD6E8FEB86659FD93ULL) * 0x9E3779B97F4A7C15ULL;
}

bool nobody(const auto& counts) {
  return std::ranges::all_of(counts, [](auto n) { return n == 0; });
}

}  // namespace

EventIndex::EventIndex(Config config)
    : config_(std::move(config)),
      keys_(config_.hash, config_.seed),
      weights_(kMaxTiers + 2, 1),
      any_({.slots = config_.slots, .lru_capacity = config_.blocks_per_slot}),
      slots_(config_.slots) {
  BATON_ASSERT(config_.block_tokens > 0 && config_.tiers.size() <= kMaxTiers);
  for (std::size_t t = 0; t < config_.tiers.size(); ++t) {
    weights_[t] = std::clamp(config_.tiers[t].weight, 0.0, 1.0);
  }
}

EventIndex::TierIndex EventIndex::tier_of(std::string_view medium) const {
  const auto at = std::ranges::find(config_.tiers, medium, &Tier::name);
  return at == config_.tiers.end() ? kOther : static_cast<TierIndex>(at - config_.tiers.begin());
}

void EventIndex::apply(Slot slot, const kv::EventBatch& batch) {
  BATON_ASSERT(slot < slots_.size());
  counts_.unknown += batch.unknown;
  for (const auto& event : batch.events) {
    if (const auto* stored = std::get_if<kv::BlockStored>(&event)) {
      store(slot, *stored);
    } else if (const auto* removed = std::get_if<kv::BlockRemoved>(&event)) {
      remove(slot, *removed);
    } else {
      clear(slot);
    }
  }
}

void EventIndex::store(Slot slot, const kv::BlockStored& event) {
  auto& state = slots_[slot];
  if (std::ranges::find(kWholePrefixes, event.spec_kind) == kWholePrefixes.end()) {
    state.partial_groups.insert(event.group);
  }
  if (state.partial_groups.contains(event.group)) {
    counts_.skipped += event.hashes.size();
    return;
  }
  const auto tier = tier_of(event.medium);
  std::vector<BlockKey> fresh;
  if (event.tokens.empty()) {  // known blocks on another tier
    for (const auto hash : event.hashes) announce(slot, hash, event.group, tier, fresh);
    if (!fresh.empty()) any_.record(slot, fresh);
    return;
  }
  if (event.parent && !state.known.contains(*event.parent)) {
    counts_.orphans += event.hashes.size();
    return;
  }
  if (state.known.size() + event.hashes.size() > config_.blocks_per_slot) {
    clear(slot);
    ++counts_.overflows;
    if (event.parent) return;
  }
  learn_adapter(event.lora_name);
  Chain chain = start_of(state, event);
  const std::size_t size = event.block_size;
  for (std::size_t i = 0; i < event.hashes.size(); ++i) {
    std::vector<std::string> extras;
    if (!event.extra_keys.empty()) extras = event.extra_keys[i];
    std::erase(extras, event.lora_name);  // the chain's root says it
    extend(chain, std::span(event.tokens).subspan(i * size, size), extras);
    const bool plain = chain.keys.size() == 1 && chain.tail.empty();
    auto& known = state.known[event.hashes[i]];
    known.last = chain.last;
    if (plain) {
      if (known.chain != 0) state.chains.erase(std::exchange(known.chain, 0));
    } else {
      if (known.chain == 0) known.chain = state.next_chain++;
      state.chains[known.chain] = chain;
    }
    announce(slot, event.hashes[i], event.group, tier, fresh);
  }
  if (!fresh.empty()) any_.record(slot, fresh);
}

EventIndex::Chain EventIndex::start_of(PerSlot& state, const kv::BlockStored& event) const {
  if (!event.parent)
    return {.last = keys_.root(event.lora_name), .keys = {}, .tail = {}, .extras = {}};
  const auto& parent = state.known.find(*event.parent)->second;
  if (parent.chain != 0) return state.chains.find(parent.chain)->second;
  return {.last = parent.last, .keys = {}, .tail = {}, .extras = {}};
}

// What the next engine block makes of the chain; `keys` become its own.
void EventIndex::extend(Chain& chain, std::span<const std::uint32_t> tokens,
                        std::span<const std::string> extras) const {
  const auto size = config_.block_tokens;
  chain.keys.clear();
  if (chain.tail.empty() && tokens.size() == size) {
    chain.last = keys_.next(chain.last, tokens, extras);
    chain.keys.push_back(chain.last);
    return;
  }
  chain.tail.insert(chain.tail.end(), tokens.begin(), tokens.end());
  chain.extras.insert(chain.extras.end(), extras.begin(), extras.end());
  std::size_t at = 0;
  for (; at + size <= chain.tail.size(); at += size) {
    chain.last = keys_.next(chain.last, std::span(chain.tail).subspan(at, size), chain.extras);
    chain.extras.clear();
    chain.keys.push_back(chain.last);
  }
  chain.tail.erase(chain.tail.begin(), chain.tail.begin() + static_cast<std::ptrdiff_t>(at));
}

std::span<const BlockKey> EventIndex::keys_of(const PerSlot& state, const Known& known) const {
  if (known.chain == 0) return {&known.last, 1};
  return state.chains.find(known.chain)->second.keys;
}

void EventIndex::announce(Slot slot, kv::EngineHash hash, std::uint32_t group, TierIndex tier,
                          std::vector<BlockKey>& fresh) {
  auto& state = slots_[slot];
  const auto known = state.known.find(hash);
  if (known == state.known.end()) {
    ++counts_.orphans;
    return;
  }
  auto& times = state.announced[{hash, group, static_cast<std::uint32_t>(tier)}];
  if (times++ > 0) return;
  ++counts_.stored;
  ++known->second.announced;
  for (const auto key : keys_of(state, known->second)) hold(slot, key, tier, fresh);
}

void EventIndex::remove(Slot slot, const kv::BlockRemoved& event) {
  auto& state = slots_[slot];
  if (state.partial_groups.contains(event.group)) {
    counts_.skipped += event.hashes.size();
    return;
  }
  const auto tier = tier_of(event.medium);
  std::vector<BlockKey> gone;
  for (const auto hash : event.hashes) {
    const auto told = state.announced.find({hash, event.group, static_cast<std::uint32_t>(tier)});
    if (told == state.announced.end()) continue;  // nothing of it counts here
    if (--told->second > 0) {
      ++counts_.suppressed;
      continue;
    }
    state.announced.erase(told);
    ++counts_.removed;
    const auto known = state.known.find(hash);
    for (const auto key : keys_of(state, known->second)) drop(slot, key, tier, gone);
    if (--known->second.announced == 0) state.idle.push_back(hash);
  }
  if (!gone.empty()) any_.remove(slot, gone);
  forget_idle(state);
}

// A hash without announcement is kept for a while: the block may come back on another tier.
void EventIndex::forget_idle(PerSlot& state) {
  while (state.idle.size() > kMaxIdle) {
    const auto known = state.known.find(state.idle.front());
    state.idle.pop_front();
    if (known == state.known.end() || known->second.announced > 0) continue;
    if (known->second.chain != 0) state.chains.erase(known->second.chain);
    state.known.erase(known);
  }
}

void EventIndex::hold(Slot slot, BlockKey key, TierIndex tier, std::vector<BlockKey>& fresh) {
  auto& held = slots_[slot].keys[key];
  if (nobody(held.counts)) fresh.push_back(key);
  if (held.counts[tier] < UINT16_MAX) ++held.counts[tier];
  reweigh(slot, key, &held);
}

void EventIndex::drop(Slot slot, BlockKey key, TierIndex tier, std::vector<BlockKey>& gone) {
  auto& keys = slots_[slot].keys;
  const auto held = keys.find(key);
  if (held == keys.end() || held->second.counts[tier] == 0) return;
  --held->second.counts[tier];
  if (!nobody(held->second.counts)) return reweigh(slot, key, &held->second);
  gone.push_back(key);
  keys.erase(held);
  reweigh(slot, key, nullptr);
}

// Keeps what readers must know of blocks that weigh less than 1.
void EventIndex::reweigh(Slot slot, BlockKey key, const Held* held) {
  double best = held == nullptr ? 1 : 0;
  for (std::size_t t = 0; held != nullptr && t < held->counts.size(); ++t) {
    if (held->counts[t] > 0) best = std::max(best, weights_[t]);
  }
  if (best >= 1 && !any_lighter_) return;
  const std::scoped_lock lock(mutex_);
  if (best >= 1) {
    lighter_.erase(place(slot, key));
  } else {
    lighter_[place(slot, key)] = best;
  }
  any_lighter_ = !lighter_.empty();
}

void EventIndex::clear(Slot slot) {
  auto& state = slots_[slot];
  if (any_lighter_) {
    for (const auto& [key, held] : state.keys) reweigh(slot, key, nullptr);
  }
  state = {};
  any_.forget(slot);
  std::erase_if(guesses_, [&](const Guess& g) { return g.slot == slot; });
}

void EventIndex::speculate(Slot slot, std::span<const BlockKey> keys, Mono until) {
  if (guesses_.size() >= kMaxGuesses || keys.empty()) return;
  std::vector<BlockKey> fresh;
  for (const auto key : keys) hold(slot, key, kGuess, fresh);
  if (!fresh.empty()) any_.record(slot, fresh);
  guesses_.push_back({until, slot, {keys.begin(), keys.end()}});
}

void EventIndex::expire(Mono now) {
  while (!guesses_.empty() && guesses_.front().until <= now) {
    const auto guess = std::move(guesses_.front());
    guesses_.pop_front();
    std::vector<BlockKey> gone;
    for (const auto key : guess.keys) drop(guess.slot, key, kGuess, gone);
    if (!gone.empty()) any_.remove(guess.slot, gone);
  }
}

void EventIndex::match(std::span<const BlockKey> keys, std::span<std::uint32_t> held,
                       std::span<std::uint32_t> weighted) const {
  any_.match(keys, held);
  std::ranges::copy(held, weighted.begin());
  if (!any_lighter_) return;
  const std::shared_lock lock(mutex_);
  for (Slot slot = 0; slot < held.size(); ++slot) {
    double sum = 0;
    for (std::size_t i = 0; i < held[slot]; ++i) {
      const auto light = lighter_.find(place(slot, keys[i]));
      sum += light == lighter_.end() ? 1 : light->second;
    }
    weighted[slot] = static_cast<std::uint32_t>(sum + 1e-9);
  }
}

void EventIndex::learn_adapter(std::string_view name) {
  if (name.empty()) return;
  {
    const std::shared_lock lock(mutex_);
    if (std::ranges::find(adapters_, name) != adapters_.end()) return;
  }
  const std::scoped_lock lock(mutex_);
  if (adapters_.size() < kMaxAdapters) adapters_.emplace_back(name);
}

std::vector<BlockKey> EventIndex::keys_of(std::string_view model,
                                          std::span<const std::uint32_t> tokens,
                                          std::string_view salt) const {
  bool adapter = false;
  {
    const std::shared_lock lock(mutex_);
    adapter = std::ranges::find(adapters_, model) != adapters_.end();
  }
  auto last = keys_.root(adapter ? model : std::string_view());
  std::vector<BlockKey> out;
  out.reserve(tokens.size() / config_.block_tokens);
  std::vector<std::string> extras;
  if (!salt.empty()) extras.emplace_back(salt);
  for (std::size_t at = 0; at + config_.block_tokens <= tokens.size(); at += config_.block_tokens) {
    last = keys_.next(last, tokens.subspan(at, config_.block_tokens), extras);
    extras.clear();
    out.push_back(last);
  }
  return out;
}

}  // namespace baton::index
