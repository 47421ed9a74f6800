#pragma once
// A few threads that share loops with the thread that owns them.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace baton::tensor {

inline constexpr int kAnyCpu = -1;

// Groups of threads: of each thread the CPU that it is bound to, or kAnyCpu. The first thread of
// the first group is the owner.
using ThreadGroups = std::vector<std::vector<int>>;
// `threads` of them, as evenly as they go. Contract: 1 <= groups <= threads.
ThreadGroups unbound(std::size_t threads, std::size_t groups = 1);

// Each group has a shard of every loop, the same one each time: what its items read stays near its
// cores. A group that is through with its own helps the others.
// `run` is confined to the owner. Between loops the helpers spin for some microseconds, then sleep:
// loops follow each other closely inside a forward pass and not at all while the engine is idle.
class ThreadPool {
 public:
  // `threads` counts the owner: 1 makes no thread.
  explicit ThreadPool(std::size_t threads) : ThreadPool(unbound(threads)) {}
  // kInvalid CPUs are the caller's to exclude: a thread that cannot be bound runs anywhere.
  explicit ThreadPool(const ThreadGroups& groups);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const { return helpers_.size() + 1; }
  // Binds the calling thread, which calls `run` from now on, to the owner's CPU.
  void bind_owner() const;

  // Calls body(item, worker) for every item in [0, items), worker in [0, threads()), in any order;
  // returns when all calls have returned. A helper that the system has not scheduled yet is not
  // waited for.
  template <class Body>
  void run(std::size_t items, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_loop({.items = items,
              .context = const_cast<void*>(static_cast<const void*>(std::addressof(body))),
              .call = [](void* context, std::size_t item, std::size_t worker) {
                (*static_cast<Plain*>(context))(item, worker);
              }});
  }

 private:
  struct Loop {
    std::size_t items = 0;
    void* context = nullptr;
    void (*call)(void* context, std::size_t item, std::size_t worker) = nullptr;
  };

  void run_loop(const Loop& loop);
  void take_items(const Loop& loop, std::size_t worker);
  void help(std::size_t worker, int cpu);
  // Waits until `state_` may differ from `state`.
  void pause_while(std::uint32_t state);

  Loop loop_;  // written by the owner while no loop is open
  struct alignas(64) Shard {
    std::atomic<std::size_t> next = 0;  // item, from the shard's first on
  };
  std::vector<Shard> shards_;          // of the loop, by group
  std::vector<std::size_t> group_of_;  // by worker
  int owner_cpu_ = kAnyCpu;
  // [generation : 24][helpers joined : 8]. The generation counts openings and closings: odd while a
  // loop is open to join.
  alignas(64) std::atomic<std::uint32_t> state_ = 0;
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> helpers_;
};

}  // namespace baton::tensor
