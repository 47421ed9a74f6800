#pragma once
// Spans that ended, on their way to whoever exports them. Many threads push and never wait: what
// does not fit is dropped and counted.

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "base/observe/metrics.hpp"
#include "base/observe/span.hpp"

namespace baton::observe {

// push: any thread. pop: one thread. A bounded queue after D. Vyukov ("Bounded MPMC queue"): a
// slot's turn says whether it is to be filled or emptied.
class SpanQueue {
 public:
  // Room for `capacity` spans, rounded up to a power of two.
  SpanQueue(std::size_t capacity, Counter& dropped);

  // `wake` is called, on the thread that pushes, when `spans` are there. Before the first push.
  void wake_at(std::size_t spans, std::function<void()> wake);

  void push(std::unique_ptr<SpanRecord> span);
  // Null: empty.
  std::unique_ptr<SpanRecord> pop();
  std::size_t size() const;  // of this moment

 private:
  struct Slot {
    std::atomic<std::size_t> turn;
    std::unique_ptr<SpanRecord> span;
  };
  std::vector<Slot> slots_;
  const std::size_t mask_;
  Counter& dropped_;
  std::size_t wake_at_ = 0;
  std::function<void()> wake_;
  std::atomic<std::size_t> tail_ = 0;  // pushed
  std::atomic<std::size_t> head_ = 0;  // popped
};

}  // namespace baton::observe
