#pragma once
// Which endpoint slots hold which blocks of token ids, as the engines themselves tell by events
// (formats/kv/kv_event.hpp). An engine's hashes mean something within that engine only, so every
// block gets a key over its tokens (formats/kv/block_keys.hpp), and per slot it is remembered which
// hash stands for which keys.
//
//   BlockStored   parent's chain + tokens ─> keys ─> held by the slot on a tier
//   BlockRemoved  hash ─> keys ─> no longer held, unless another announcement of the hash still
//   stands
//
// Key blocks and engine blocks may differ in size: an engine block completes none, one or several
// keys.

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "formats/kv/block_keys.hpp"
#include "formats/kv/kv_event.hpp"
#include "routing/index/prefix_index.hpp"

namespace baton::index {

struct Tier {
  std::string name;   // a medium of the events, in lower case
  double weight = 1;  // of a block held there, 0..1
  friend bool operator==(const Tier&, const Tier&) = default;
};
inline constexpr std::size_t kMaxTiers = 6;  // configured ones

// One writer thread; readers as said.
class EventIndex {
 public:
  struct Config {
    kv::KeyHash hash = kv::KeyHash::kCborFnv;
    std::string seed;
    std::size_t block_tokens = 16;
    std::vector<Tier> tiers = {{"gpu", 1}, {"cpu", 0.8}};  // others weigh 1
    std::size_t slots = 256;
    std::size_t blocks_per_slot = std::size_t{1} << 22;  // told of more, the slot starts anew
    friend bool operator==(const Config&, const Config&) = default;
  };
  explicit EventIndex(Config config);

  // Writer.
  void apply(Slot slot, const kv::EventBatch& batch);
  void clear(Slot slot);
  // Writer. The slot is about to hold these: until then it counts as if it did.
  void speculate(Slot slot, std::span<const kv::BlockKey> keys, Mono until);
  void expire(Mono now);

  // Any thread. By slot: leading blocks held; and the sum of their best tiers' weights, rounded
  // down.
  void match(std::span<const kv::BlockKey> keys, std::span<std::uint32_t> held,
             std::span<std::uint32_t> weighted) const;
  // Any thread. The keys of a prompt's whole blocks. A pool serves one base model under any name,
  // whose blocks are told apart from those of the adapters that events named. `salt` separates the
  // first block when not empty.
  std::vector<kv::BlockKey> keys_of(std::string_view model, std::span<const std::uint32_t> tokens,
                                    std::string_view salt = {}) const;

  struct Counts {
    std::uint64_t stored = 0, removed = 0;  // hashes that took effect
    std::uint64_t suppressed = 0;           // removals while the hash is announced once more
    std::uint64_t orphans = 0;              // stored behind a parent that is not known
    std::uint64_t skipped = 0;              // of a kind of cache that does not hold whole prefixes
    std::uint64_t unknown = 0;              // events of a type that is not known
    std::uint64_t overflows = 0;            // slots cleared because they told of too many blocks
  };
  const Counts& counts() const { return counts_; }               // writer
  std::size_t held(Slot slot) const { return any_.held(slot); }  // writer
  const Config& config() const { return config_; }

 private:
  using TierIndex = std::size_t;  // into the configured ones; then kOther, kGuess
  struct Held {
    std::array<std::uint16_t, kMaxTiers + 2> counts = {};  // announcements by tier
  };
  struct Chain {  // where a prompt's keys stand behind an engine block
    kv::BlockKey last;
    std::vector<kv::BlockKey> keys;   // that the block completes
    std::vector<std::uint32_t> tail;  // tokens since the last key
    std::vector<std::string> extras;  // of the tail
  };
  struct Known {
    kv::BlockKey last;
    std::uint32_t chain = 0;  // 0: completes exactly `last`; else into chains, plus 1
    std::uint32_t announced = 0;
  };
  struct Announcement {
    kv::EngineHash hash;
    std::uint32_t group;
    std::uint32_t tier;
    friend bool operator==(const Announcement&, const Announcement&) = default;
  };
  struct HashAnnouncement {
    std::size_t operator()(const Announcement& a) const noexcept {
      return (a.hash ^ (std::uint64_t{a.group} << 3 | a.tier)) * 0x9E3779B97F4A7C15ULL;
    }
  };
  struct PerSlot {
    boost::unordered_flat_map<kv::EngineHash, Known> known;
    boost::unordered_flat_map<std::uint32_t, Chain> chains;  // of blocks of another size
    std::uint32_t next_chain = 1;
    boost::unordered_flat_map<Announcement, std::uint32_t, HashAnnouncement> announced;
    boost::unordered_flat_map<kv::BlockKey, Held> keys;
    boost::unordered_flat_set<std::uint32_t> partial_groups;  // that are not followed
    std::deque<kv::EngineHash> idle;  // hashes that nothing announces, the oldest first
  };
  struct Guess {
    Mono until;
    Slot slot;
    std::vector<kv::BlockKey> keys;
  };

  TierIndex tier_of(std::string_view medium) const;
  void store(Slot slot, const kv::BlockStored& event);
  void remove(Slot slot, const kv::BlockRemoved& event);
  void announce(Slot slot, kv::EngineHash hash, std::uint32_t group, TierIndex tier,
                std::vector<kv::BlockKey>& fresh);
  Chain start_of(PerSlot& state, const kv::BlockStored& event) const;
  void extend(Chain& chain, std::span<const std::uint32_t> tokens,
              std::span<const std::string> extras) const;
  std::span<const kv::BlockKey> keys_of(const PerSlot& state, const Known& known) const;
  void hold(Slot slot, kv::BlockKey key, TierIndex tier, std::vector<kv::BlockKey>& fresh);
  void drop(Slot slot, kv::BlockKey key, TierIndex tier, std::vector<kv::BlockKey>& gone);
  void reweigh(Slot slot, kv::BlockKey key, const Held* held);
  void forget_idle(PerSlot& state);
  void learn_adapter(std::string_view name);

  const Config config_;
  const kv::BlockKeys keys_;
  std::vector<double> weights_;  // by TierIndex
  PrefixIndex any_;              // on any tier
  std::vector<PerSlot> slots_;
  std::deque<Guess> guesses_;
  Counts counts_;

  mutable std::shared_mutex mutex_;                           // guards the next two
  boost::unordered_flat_map<std::uint64_t, double> lighter_;  // slot and key: a weight below 1
  std::vector<std::string> adapters_;
  std::atomic<bool> any_lighter_ = false;
};

}  // namespace baton::index
