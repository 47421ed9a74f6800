#pragma once
// Fetches leased KV from other engines into our own blocks, on a few threads, and gives leases
// back. Everything about one pull is decided here: connect (local socket first), present the lease,
// check each frame, release.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "engine/runtime/engine.hpp"
#include "engine/runtime/socket.hpp"
#include "formats/kv/kv_wire.hpp"

namespace baton::runtime {

// Tokens [begin, end) of a prompt into `blocks`, which nobody else touches until the outcome is
// there.
struct PullJob {
  kv::TransferParams source;
  std::uint64_t serial = 0;
  kv::Digest prompt;
  std::size_t begin = 0, end = 0;
  std::vector<model::BlockIndex> blocks;
  Deadline deadline;
  std::shared_ptr<std::atomic<bool>> cancelled;  // shared with the engine thread, which sets it
};

enum class Settle : std::uint8_t { kRenew, kRelease };

struct PullOutcome {
  std::uint64_t serial = 0;
  Status status;
  std::uint64_t bytes = 0;
  Nanos took{};
};

// Thread-safe.
class KvPuller {
 public:
  struct Deps {
    model::KvMemory& memory;
    const Clock& clock;
    std::function<void(PullOutcome)> on_outcome;  // called on a pulling thread, for pulls only
  };

  KvPuller(const TransferConfig& config, kv::Digest model, Deps deps);
  ~KvPuller();

  void pull(PullJob job);
  // Tells the engine that granted the lease. Beyond a bound dropped: the lease then ends by itself.
  void settle(Settle what, const kv::TransferParams& source);
  // Queued pulls are cancelled, with their outcome; joins the threads. Contract: the owner has
  // cancelled the pulls in progress.
  void stop();

 private:
  struct Settlement {
    Settle what;
    kv::TransferParams source;
  };
  using Job = std::variant<PullJob, Settlement>;

  void enqueue(Job job);
  void run();
  void perform(const PullJob& job);
  void perform(const Settlement& job);
  Status fetch(const PullJob& job, std::uint64_t& bytes) const;
  Status receive_rows(const Socket& peer, const PullJob& job, std::uint64_t& bytes,
                      const Patience& patience) const;
  Result<std::uint32_t> receive_frame(const Socket& peer, const PullJob& job, kv::Rows expected,
                                      const Patience& patience) const;
  Status tell(const kv::TransferParams& source, const kv::Message& request) const;

  const TransferConfig config_;
  const kv::Digest model_;
  const Deps deps_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;  // guards queue_
  std::condition_variable ready_;
  std::deque<Job> queue_;
  std::vector<std::jthread> threads_;
};

}  // namespace baton::runtime
