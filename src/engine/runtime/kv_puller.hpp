#pragma once
// Fetches leased KV from other engines into our own blocks, on a few threads, and renews leases and
// gives them back, on two of their own: an engine that does not answer keeps nobody from the
// others. Everything about one pull is decided here: connect (local socket first), present the
// lease, copy from the other's memory or check each frame, go on where a connection broke, release.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "engine/runtime/engine.hpp"
#include "engine/runtime/kv_window.hpp"
#include "engine/runtime/socket.hpp"
#include "engine/runtime/socket_reader.hpp"
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
  std::shared_ptr<Progress> progress = {};       // of the request; null: nobody looks on

  // So many tokens of the prompt are here.
  void tell(std::size_t tokens) const {
    if (progress)
      progress->ready.store(static_cast<std::uint32_t>(tokens), std::memory_order_relaxed);
  }
};

enum class Settle : std::uint8_t { kRenew, kRelease };

struct PullOutcome {
  std::uint64_t serial = 0;
  Status status;
  std::size_t tokens =
      0;  // from PullJob::begin on, whose KV is here and good, also after a failure
  std::uint64_t bytes = 0;
  std::uint64_t copied = 0;  // of these, from the other engine's memory
  std::size_t resumed = 0;   // times that it went on after a connection broke
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
  // Tells the engine that granted the lease. Dropped beyond a bound, and while that engine does not
  // answer: the lease then ends by itself.
  void settle(Settle what, const kv::TransferParams& source);
  // Settlements.
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  // Queued pulls are cancelled, with their outcome; joins the threads. Contract: the owner has
  // cancelled the pulls in progress.
  void stop();

 private:
  struct Settlement {
    Settle what;
    kv::TransferParams source;
  };

  void run_pulls();
  void run_settlements();
  bool may_go(const PullJob& job) const;
  bool is_deaf(const std::string& engine) const;
  void drop(const kv::TransferParams& source);
  void perform(const PullJob& job);
  Status perform(const Settlement& job) const;
  // A connection to where the KV is, and what has come on it.
  struct Line;
  // One connection's part of a pull; adds what it brought to the outcome.
  Status fetch(const PullJob& job, PullOutcome& outcome);
  Status receive_rows(SocketReader& from, const PullJob& job, PullOutcome& outcome,
                      const Patience& patience) const;
  // Adds the frame's rows to what its layer has, `arrived`: the end of each layer's tokens. False:
  // it was a sign of life.
  Result<bool> receive_frame(SocketReader& from, const PullJob& job,
                             std::vector<std::uint32_t>& arrived, const Patience& patience) const;
  // From the other engine's memory, as it becomes there.
  Status copy_rows(Line& line, const PullJob& job, const kv::Shared& where, PullOutcome& outcome,
                   const Patience& patience);
  // Asks until more than `told` is there, and puts that into it. False: not until `due`.
  Result<bool> await_more(Line& line, const PullJob& job, kv::Extent& told, Deadline due,
                          const Patience& patience) const;
  // When more of an announced prompt has to be there, as seen now.
  Deadline more_due() const { return Deadline::in(deps_.clock, config_.standstill_timeout); }
  Error standstill() const;
  Patience stall(const Patience& patience) const {
    return patience.until(Deadline::in(deps_.clock, config_.stall_timeout));
  }
  static Status tell(Line& line, const kv::Message& request, const Patience& patience);
  Status tell(const kv::TransferParams& source, const kv::Message& request) const;

  const TransferConfig config_;
  const kv::Digest model_;
  const Deps deps_;
  KvWindows windows_;
  std::atomic<bool> stopping_ = false;
  std::atomic<std::uint64_t> dropped_ = 0;
  std::mutex mutex_;  // guards pulls_ to deaf_; engines go by their addresses
  std::condition_variable ready_, due_;
  std::deque<PullJob> pulls_;
  std::unordered_map<std::string, std::size_t> pulling_;  // in progress
  std::deque<Settlement> settlements_;
  std::unordered_set<std::string> settling_;
  std::unordered_map<std::string, Mono> deaf_;  // when they did not answer
  std::vector<std::jthread> pullers_, settlers_;
};

}  // namespace baton::runtime
