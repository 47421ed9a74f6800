#pragma once
// In which order one slot was sent its blocks: a queue of hashes, the youngest at the back. 8 bytes
// a hash, written and read in memory order.

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace baton::index {

class Recency {
 public:
  Recency() = default;
  Recency(Recency&& other) noexcept { *this = std::move(other); }
  Recency& operator=(Recency&& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(last_, other.last_);
    std::swap(size_, other.size_);
    std::swap(front_, other.front_);
    std::swap(back_, other.back_);
    return *this;
  }
  ~Recency() {
    while (first_ != nullptr) delete std::exchange(first_, first_->next);
  }

  std::size_t size() const { return size_; }

  void push(std::uint64_t hash) {
    if (back_ == kChunk) {
      auto* chunk = new Chunk;
      (last_ == nullptr ? first_ : last_->next) = chunk;
      if (last_ == nullptr) front_ = 0;
      last_ = chunk;
      back_ = 0;
    }
    last_->hashes[back_++] = hash;
    ++size_;
  }
  // Contract: size() > 0.
  std::uint64_t pop() {
    const auto hash = first_->hashes[front_++];
    --size_;
    if (size_ == 0 || front_ == kChunk) {
      delete std::exchange(first_, first_->next);
      front_ = 0;
      if (first_ == nullptr) {
        last_ = nullptr;
        back_ = kChunk;
      }
    }
    return hash;
  }

 private:
  static constexpr std::uint32_t kChunk =
      14;  // with `next` and the allocator's word, two cache lines
  struct Chunk {
    std::array<std::uint64_t, kChunk> hashes;
    Chunk* next = nullptr;
  };

  Chunk* first_ = nullptr;
  Chunk* last_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint16_t front_ = 0;      // of first_: what is next to go
  std::uint16_t back_ = kChunk;  // of last_: where the next one comes
};

}  // namespace baton::index
