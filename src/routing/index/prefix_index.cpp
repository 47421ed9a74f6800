#include "routing/index/prefix_index.hpp"

#include <algorithm>
#include <bit>
#include <boost/unordered/unordered_flat_map.hpp>

#include "base/core/assert.hpp"

namespace baton::index {
namespace {

constexpr std::size_t kFirstCapacity = 1024;
constexpr std::uint32_t kNone = ~std::uint32_t{0};

// 0 marks an unused entry, so no hash may be 0.
std::uint64_t key_of(std::uint64_t hash) { return hash == 0 ? 1 : hash; }

}  // namespace

// Readers only load; the writer stores the mask before the key of a fresh entry.
class PrefixIndex::Table {
 public:
  using Word = std::atomic<std::uint64_t>;

  Table(std::size_t capacity, std::size_t words)
      : mask_(capacity - 1), stride_(words + 1), cells_(capacity * (words + 1)) {}

  std::size_t capacity() const { return mask_ + 1; }
  const Word* entry(std::size_t at) const { return &cells_[at * stride_]; }
  Word* entry(std::size_t at) { return &cells_[at * stride_]; }

  // The entry of `key`, or null. Terminates: rebuild() keeps a quarter of the entries unused.
  const Word* find(std::uint64_t key) const {
    for (std::size_t at = key & mask_;; at = (at + 1) & mask_) {
      const auto found = entry(at)->load(std::memory_order_acquire);
      if (found == key) return entry(at);
      if (found == 0) return nullptr;
    }
  }

  bool dead(std::size_t at) const {
    const Word* words = entry(at) + 1;
    return std::all_of(words, words + stride_ - 1,
                       [](const Word& w) { return w.load(std::memory_order_relaxed) == 0; });
  }

  // The entry of `key`, made when absent: the first dead one on its way, else a new one.
  Word* find_or_add(std::uint64_t key) {
    Word* reusable = nullptr;
    for (std::size_t at = key & mask_;; at = (at + 1) & mask_) {
      const auto found = entry(at)->load(std::memory_order_relaxed);
      if (found == key) return entry(at);
      if (found == 0) {
        if (reusable == nullptr) {
          reusable = entry(at);
          ++used_;
        }
        reusable->store(key, std::memory_order_release);
        return reusable;
      }
      if (reusable == nullptr && dead(at)) reusable = entry(at);
    }
  }

  bool crowded() const { return used_ * 4 >= capacity() * 3; }
  std::size_t live() const {
    std::size_t n = 0;
    for (std::size_t at = 0; at < capacity(); ++at) n += dead(at) ? 0U : 1U;
    return n;
  }

 private:
  std::size_t mask_;
  std::size_t stride_;
  std::size_t used_ = 0;  // entries with a key, dead or not
  std::vector<Word> cells_;
};

// Recency of the hashes of one slot. Nodes are reused; index 0..size-1.
class PrefixIndex::Lru {
 public:
  // Makes `hash` the youngest. True when it was not there.
  bool touch(std::uint64_t hash) {
    const auto [it, added] = where_.try_emplace(hash, kNone);
    if (added) {
      it->second = take_node(hash);
    } else {
      unlink(it->second);
    }
    push_front(it->second);
    return added;
  }
  std::size_t size() const { return where_.size(); }
  std::uint64_t pop_oldest() {
    const std::uint32_t oldest = last_;
    const auto hash = nodes_[oldest].hash;
    unlink(oldest);
    where_.erase(hash);
    free_.push_back(oldest);
    return hash;
  }
  template <class F>
  void for_each(F&& visit) const {
    for (const auto& [hash, node] : where_) visit(hash);
  }

 private:
  struct Node {
    std::uint64_t hash;
    std::uint32_t younger, older;
  };

  std::uint32_t take_node(std::uint64_t hash) {
    if (free_.empty()) {
      nodes_.push_back({hash, kNone, kNone});
      return static_cast<std::uint32_t>(nodes_.size() - 1);
    }
    const auto node = free_.back();
    free_.pop_back();
    nodes_[node].hash = hash;
    return node;
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

  boost::unordered_flat_map<std::uint64_t, std::uint32_t> where_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_;
  std::uint32_t first_ = kNone, last_ = kNone;
};

PrefixIndex::PrefixIndex(Config config)
    : words_((config.slots + 63) / 64),
      lru_capacity_(config.lru_capacity),
      current_(std::make_unique<Table>(kFirstCapacity, words_)),
      lrus_(words_ * 64) {
  BATON_ASSERT(config.slots > 0 && config.lru_capacity > 0);
  table_.store(current_.get());
}

PrefixIndex::~PrefixIndex() = default;

void PrefixIndex::match(std::span<const std::uint64_t> blocks,
                        std::span<std::uint32_t> matched) const {
  BATON_ASSERT(matched.size() <= words_ * 64);
  std::ranges::fill(matched, 0U);
  readers_.fetch_add(1);
  const Table* table = table_.load();
  for (std::size_t word = 0; word * 64 < matched.size(); ++word) {
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
  for (auto it = blocks.rbegin(); it != blocks.rend(); ++it) {
    const auto key = key_of(*it);
    if (!lru->touch(key)) continue;
    if (lru->size() > lru_capacity_) clear(lru->pop_oldest(), slot);
    set(key, slot);
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
  if (current_->crowded()) rebuild();
  auto& word = current_->find_or_add(key)[1 + slot / 64];
  word.fetch_or(std::uint64_t{1} << (slot % 64), std::memory_order_relaxed);
}

void PrefixIndex::clear(std::uint64_t key, Slot slot) {
  // find() is const for the readers' sake; the writer owns the table.
  auto* entry = const_cast<Table::Word*>(current_->find(key));
  if (entry == nullptr) return;
  entry[1 + slot / 64].fetch_and(~(std::uint64_t{1} << (slot % 64)), std::memory_order_relaxed);
}

// A fresh table without the dead entries, at most 3/8 full.
void PrefixIndex::rebuild() {
  std::size_t capacity = kFirstCapacity;
  while (current_->live() * 8 >= capacity * 3) capacity *= 2;
  auto fresh = std::make_unique<Table>(capacity, words_);
  for (std::size_t at = 0; at < current_->capacity(); ++at) {
    if (current_->dead(at)) continue;
    const auto* from = current_->entry(at);
    auto* to = fresh->find_or_add(from[0].load(std::memory_order_relaxed));
    for (std::size_t w = 1; w <= words_; ++w) to[w].store(from[w].load());
  }
  table_.store(fresh.get());
  retired_.push_back(std::move(current_));
  current_ = std::move(fresh);
  // A reader that enters from here on sees the new table.
  if (readers_.load() == 0) retired_.clear();
}

}  // namespace baton::index
