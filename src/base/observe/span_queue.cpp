#include "base/observe/span_queue.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace baton::observe {

SpanQueue::SpanQueue(std::size_t capacity, Counter& dropped)
    : slots_(std::bit_ceil(std::max<std::size_t>(capacity, 2))),
      mask_(slots_.size() - 1),
      dropped_(dropped) {
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i].turn = i;
}

void SpanQueue::wake_at(std::size_t spans, std::function<void()> wake) {
  wake_at_ = std::min(spans, slots_.size());
  wake_ = std::move(wake);
}

void SpanQueue::push(std::unique_ptr<SpanRecord> span) {
  std::size_t at = tail_.load(std::memory_order_relaxed);
  for (;;) {
    Slot& slot = slots_[at & mask_];
    const std::size_t turn = slot.turn.load(std::memory_order_acquire);
    if (turn == at) {
      if (!tail_.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) continue;
      slot.span = std::move(span);
      slot.turn.store(at + 1, std::memory_order_release);
      break;
    }
    if (static_cast<std::ptrdiff_t>(turn - at) < 0) return dropped_.add();
    at = tail_.load(std::memory_order_relaxed);
  }
  if (wake_ && at + 1 - head_.load(std::memory_order_relaxed) == wake_at_) wake_();
}

std::unique_ptr<SpanRecord> SpanQueue::pop() {
  const std::size_t at = head_.load(std::memory_order_relaxed);
  Slot& slot = slots_[at & mask_];
  if (slot.turn.load(std::memory_order_acquire) != at + 1) return nullptr;
  auto span = std::move(slot.span);
  slot.turn.store(at + slots_.size(), std::memory_order_release);
  head_.store(at + 1, std::memory_order_relaxed);
  return span;
}

std::size_t SpanQueue::size() const {
  const std::size_t head = head_.load(std::memory_order_relaxed);
  const std::size_t tail = tail_.load(std::memory_order_relaxed);
  return tail > head ? tail - head : 0;
}

}  // namespace baton::observe
