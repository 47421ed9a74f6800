#include "routing/index/prefix_index.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/core/assert.hpp"

namespace baton::index {
namespace {

constexpr std::size_t kFirstCapacity = 1024;
constexpr std::uint32_t kNone = ~std::uint32_t{0};
constexpr std::size_t kAhead = 8;  // blocks between asking for an entry's memory and using it

// 0 marks an unused entry, so no hash may be 0.
std::uint64_t key_of(std::uint64_t hash) { return hash == 0 ? 1 : hash; }

}  // namespace

// Readers only load.
class PrefixIndex::Table {
 public:
  using Word = std::atomic<std::uint64_t>;

  Table(std::size_t capacity, std::size_t words)
      : mask_(capacity - 1), stride_(words + 1), cells_(capacity * (words + 1)) {}

  std::size_t capacity() const { return mask_ + 1; }
  std::size_t words() const { return stride_ - 1; }
  void prefetch(std::uint64_t key) const { __builtin_prefetch(entry(key & mask_)); }
  const Word* entry(std::size_t at) const { return &cells_[at * stride_]; }
  Word* entry(std::size_t at) { return &cells_[at * stride_]; }

  // The entry of `key`, or null. Terminates: three in eight entries are unused.
  const Word* find(std::uint64_t key) const {
    for (std::size_t at = key & mask_;; at = (at + 1) & mask_) {
      const auto found = entry(at)->load(std::memory_order_acquire);
      if (found == key) return entry(at);
      if (found == 0) return nullptr;
    }
  }

  // The entry of `key`, made when absent.
  Word* find_or_add(std::uint64_t key) {
    for (std::size_t at = key & mask_;; at = (at + 1) & mask_) {
      const auto found = entry(at)->load(std::memory_order_relaxed);
      if (found == key) return entry(at);
      if (found != 0) continue;
      entry(at)->store(key, std::memory_order_release);
      ++used_;
      return entry(at);
    }
  }

  // Removes `bit` of a mask word; an entry with none left goes. Contract: `key` is there.
  void clear(std::uint64_t key, std::size_t word, std::uint64_t bit) {
    auto at = key & mask_;
    while (entry(at)->load(std::memory_order_relaxed) != key) {
      BATON_ASSERT(entry(at)->load(std::memory_order_relaxed) != 0);
      at = (at + 1) & mask_;
    }
    Word* words = entry(at) + 1;
    words[word].store(words[word].load(std::memory_order_relaxed) & ~bit,
                      std::memory_order_relaxed);
    if (std::all_of(words, words + stride_ - 1,
                    [](const Word& w) { return w.load(std::memory_order_relaxed) == 0; })) {
      erase(at);
    }
  }

  bool crowded() const { return used_ * 8 >= capacity() * 5; }

 private:
  // Entries that probed past the hole move up, so that every key is still found from its place.
  void erase(std::size_t hole) {
    for (auto at = (hole + 1) & mask_;; at = (at + 1) & mask_) {
      const auto key = entry(at)->load(std::memory_order_relaxed);
      if (key == 0) break;
      if (((at - key) & mask_) < ((at - hole) & mask_)) continue;
      move(at, hole);
      hole = at;
    }
    entry(hole)->store(0, std::memory_order_release);
    for (std::size_t w = 1; w < stride_; ++w) entry(hole)[w].store(0, std::memory_order_relaxed);
    --used_;
  }
  void move(std::size_t from, std::size_t to) {
    for (std::size_t w = 1; w < stride_; ++w) {
      entry(to)[w].store(entry(from)[w].load(std::memory_order_relaxed), std::memory_order_relaxed);
    }
    entry(to)->store(entry(from)->load(std::memory_order_relaxed), std::memory_order_release);
  }

  std::size_t mask_;
  std::size_t stride_;
  std::size_t used_ = 0;
  std::vector<Word> cells_;
};

// Recency of the hashes of one slot: a list through nodes that a chained hash table finds. Nodes
// are reused oldest first, so that a run of new hashes walks through memory in order.
class PrefixIndex::Lru {
 public:
  // Makes `hash` the youngest. True when it was not there.
  bool touch(std::uint64_t hash) {
    auto node = bucket(hash);
    while (node != kNone && nodes_[node].hash != hash) node = nodes_[node].next;
    const bool added = node == kNone;
    if (added) {
      node = add(hash);
    } else {
      unlink(node);
    }
    push_front(node);
    return added;
  }
  std::size_t size() const { return size_; }
  // The oldest, in that order.
  void oldest(std::size_t count, std::vector<std::uint64_t>& into) const {
    into.clear();
    for (auto node = last_; into.size() < count; node = nodes_[node].younger) {
      into.push_back(nodes_[node].hash);
    }
  }
  void prefetch_bucket(std::uint64_t hash) const { __builtin_prefetch(&bucket(hash)); }
  void prefetch_node(std::uint64_t hash) const {
    if (const auto node = bucket(hash); node != kNone) __builtin_prefetch(&nodes_[node]);
  }
  std::uint64_t pop_oldest() {
    const auto node = last_;
    const auto hash = nodes_[node].hash;
    unlink(node);
    auto* link = &bucket(hash);
    while (*link != node) link = &nodes_[*link].next;
    *link = nodes_[node].next;
    nodes_[node].next = std::exchange(free_, node);
    --size_;
    return hash;
  }
  template <class F>
  void for_each(F&& visit) const {
    for (auto node = first_; node != kNone; node = nodes_[node].older) visit(nodes_[node].hash);
  }

 private:
  struct Node {
    std::uint64_t hash;
    std::uint32_t younger, older;
    std::uint32_t next;  // in the bucket, or the next free one
  };

  const std::uint32_t& bucket(std::uint64_t hash) const {
    return buckets_[hash & (buckets_.size() - 1)];
  }
  std::uint32_t& bucket(std::uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }

  std::uint32_t add(std::uint64_t hash) {
    if (size_ == buckets_.size()) grow();
    auto node = free_;
    if (node == kNone) {
      node = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back();
    } else {
      free_ = nodes_[node].next;
    }
    nodes_[node].hash = hash;
    nodes_[node].next = std::exchange(bucket(hash), node);
    ++size_;
    return node;
  }
  void grow() {
    buckets_.assign(buckets_.size() * 2, kNone);
    for (auto node = first_; node != kNone; node = nodes_[node].older) {
      nodes_[node].next = std::exchange(bucket(nodes_[node].hash), node);
    }
  }
  void unlink(std::uint32_t n) {
    const Node node = nodes_[n];
    (node.younger == kNone ? first_ : nodes_[node.younger].older) = node.older;
    (node.older == kNone ? last_ : nodes_[node.older].younger) = node.younger;
  }
  void push_front(std::uint32_t n) {
    nodes_[n].younger = kNone;
    nodes_[n].older = first_;
    (first_ == kNone ? last_ : nodes_[first_].younger) = n;
    first_ = n;
  }

  std::vector<std::uint32_t> buckets_ = std::vector<std::uint32_t>(kFirstCapacity, kNone);
  std::vector<Node> nodes_;
  std::size_t size_ = 0;
  std::uint32_t first_ = kNone, last_ = kNone, free_ = kNone;
};

PrefixIndex::PrefixIndex(Config config)
    : lru_capacity_(config.lru_capacity),
      current_(std::make_unique<Table>(kFirstCapacity, 1)),
      lrus_((config.slots + 63) / 64 * 64) {
  BATON_ASSERT(config.slots > 0 && config.lru_capacity > 0);
  table_.store(current_.get());
}

PrefixIndex::~PrefixIndex() = default;

void PrefixIndex::match(std::span<const std::uint64_t> blocks,
                        std::span<std::uint32_t> matched) const {
  BATON_ASSERT(matched.size() <= lrus_.size());
  std::ranges::fill(matched, 0U);
  readers_.fetch_add(1);
  const Table* table = table_.load();
  for (std::size_t word = 0; word < table->words(); ++word) {
    std::uint64_t alive = ~std::uint64_t{0};
    for (std::size_t depth = 0; depth < blocks.size() && alive != 0; ++depth) {
      const auto* entry = table->find(key_of(blocks[depth]));
      alive &= entry == nullptr ? 0 : entry[1 + word].load(std::memory_order_relaxed);
      for (auto bits = alive; bits != 0; bits &= bits - 1) {
        const auto slot = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
        if (slot < matched.size()) matched[slot] = static_cast<std::uint32_t>(depth + 1);
      }
    }
  }
  readers_.fetch_sub(1);
}

void PrefixIndex::record(Slot slot, std::span<const std::uint64_t> blocks) {
  BATON_ASSERT(slot < lrus_.size());
  auto& lru = lrus_[slot];
  if (lru == nullptr) lru = std::make_unique<Lru>();
  blocks = blocks.first(std::min(blocks.size(), lru_capacity_));
  // From the end, so that the head of the chain is the last to be forgotten.
  for (auto at = blocks.size(); at-- > 0;) {
    if (at >= 2 * kAhead) lru->prefetch_bucket(key_of(blocks[at - 2 * kAhead]));
    if (at >= kAhead) {
      lru->prefetch_node(key_of(blocks[at - kAhead]));
      current_->prefetch(key_of(blocks[at - kAhead]));
    }
    const auto key = key_of(blocks[at]);
    if (lru->touch(key)) set(key, slot);
  }
  if (lru->size() > lru_capacity_) evict(*lru, slot);
}

// What is over the capacity.
void PrefixIndex::evict(Lru& lru, Slot slot) {
  lru.oldest(lru.size() - lru_capacity_, leaving_);
  for (std::size_t i = 0; i < leaving_.size(); ++i) {
    if (i + 2 * kAhead < leaving_.size()) lru.prefetch_bucket(leaving_[i + 2 * kAhead]);
    if (i + kAhead < leaving_.size()) {
      lru.prefetch_node(leaving_[i + kAhead]);
      current_->prefetch(leaving_[i + kAhead]);
    }
    clear(lru.pop_oldest(), slot);
  }
}

void PrefixIndex::forget(Slot slot) {
  BATON_ASSERT(slot < lrus_.size());
  if (lrus_[slot] == nullptr) return;
  lrus_[slot]->for_each([&](std::uint64_t key) { clear(key, slot); });
  lrus_[slot].reset();
}

std::size_t PrefixIndex::held(Slot slot) const {
  return lrus_[slot] == nullptr ? 0 : lrus_[slot]->size();
}

void PrefixIndex::set(std::uint64_t key, Slot slot) {
  const auto words = slot / 64 + 1;
  if (current_->crowded() || words > current_->words()) rebuild(words);
  auto& word = current_->find_or_add(key)[1 + slot / 64];
  // The one writer needs no atomic read-modify-write.
  word.store(word.load(std::memory_order_relaxed) | std::uint64_t{1} << (slot % 64),
             std::memory_order_relaxed);
}

void PrefixIndex::clear(std::uint64_t key, Slot slot) {
  current_->clear(key, slot / 64, std::uint64_t{1} << (slot % 64));
}

// A larger table, or one with more mask words.
void PrefixIndex::rebuild(std::size_t words) {
  words = std::max(words, current_->words());
  auto fresh = std::make_unique<Table>(current_->capacity() * (current_->crowded() ? 2 : 1), words);
  for (std::size_t at = 0; at < current_->capacity(); ++at) {
    const auto* from = current_->entry(at);
    const auto key = from->load(std::memory_order_relaxed);
    if (key == 0) continue;
    auto* to = fresh->find_or_add(key);
    for (std::size_t w = 1; w <= current_->words(); ++w) to[w].store(from[w].load());
  }
  table_.store(fresh.get());
  retired_.push_back(std::move(current_));
  current_ = std::move(fresh);
  // A reader that enters from here on sees the new table.
  if (readers_.load() == 0) retired_.clear();
}

}  // namespace baton::index
