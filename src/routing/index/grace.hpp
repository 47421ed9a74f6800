#pragma once
// When memory that readers may still look at can be freed. Readers count themselves in and out and
// never wait; the one writer keeps what it took away until every reader that might see it is gone.
//
// Two counters, used in turns: readers enter by the current one. A reader that saw an object
// entered before it was taken away, so once both counters were seen at zero since then, none is
// left. Turning lets the one in use drain although readers keep coming.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace baton::index {

class Grace {
 public:
  // While one lives, nothing that its thread can reach is freed. Any thread, wait-free.
  class Reader {
   public:
    explicit Reader(const Grace& grace)
        : counter_(grace.stripes_[stripe()].inside[grace.turn_.load() & 1]) {
      counter_.fetch_add(1);
    }
    ~Reader() { counter_.fetch_sub(1); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

   private:
    std::atomic<std::uint32_t>& counter_;
  };

  // Writer only. Contract: readers that enter from here on cannot reach the object.
  template <class T>
  void retire(std::unique_ptr<T> object) {
    fresh_.emplace_back(object.release(), [](void* p) { delete static_cast<T*>(p); });
  }
  // Writer only. Frees what no reader can see any more; never waits.
  void advance() {
    if (fresh_.empty() && waiting_.empty()) return;
    const auto turn = turn_.load();
    if (!drained((turn + 1) & 1)) return;
    // Seen: the other counter at zero. What waited has now seen both.
    waiting_ = std::exchange(fresh_, {});
    turn_.store(turn + 1);
  }

 private:
  static constexpr std::size_t kStripes = 16;  // so that readers seldom share a cache line
  struct alignas(64) Stripe {
    std::array<std::atomic<std::uint32_t>, 2> inside = {};
  };
  using Retired = std::unique_ptr<void, void (*)(void*)>;

  static std::size_t stripe() {
    static std::atomic<std::size_t> next = 0;
    thread_local const std::size_t mine = next.fetch_add(1) % kStripes;
    return mine;
  }
  bool drained(std::uint32_t which) const {
    for (const auto& stripe : stripes_) {
      if (stripe.inside[which].load() != 0) return false;
    }
    return true;
  }

  mutable std::array<Stripe, kStripes> stripes_;
  std::atomic<std::uint32_t> turn_ = 0;
  std::vector<Retired> fresh_;    // neither counter seen at zero since
  std::vector<Retired> waiting_;  // one seen at zero since
};

}  // namespace baton::index
