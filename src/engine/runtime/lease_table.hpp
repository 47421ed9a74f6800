#pragma once
// Which blocks are kept for readers elsewhere, until when, and who may read them.
//
// A read is bracketed by begin_read and end_read, frame by frame: a lease under a read is not
// reclaimed, and begin_read fails once it has expired or been released. So recycled memory is
// never read as KV.
//
// A prompt can be leased before its KV is computed. Its lease then tells how far that is, and lives
// as long as the computation; from its end on it expires like any other.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "engine/model/kv_memory.hpp"
#include "formats/kv/block_hash.hpp"
#include "formats/kv/kv_wire.hpp"

namespace baton::runtime {

using model::BlockIndex;

struct LeasedPrompt {
  std::string request_id;
  kv::Digest prompt;       // of its tokens
  std::size_t tokens = 0;  // whose KV is in the blocks
  std::vector<BlockIndex> blocks;
};

// Thread-safe.
class LeaseTable {
 public:
  enum class End : std::uint8_t { kReleased, kExpired, kWithdrawn };
  struct Reclaimed {
    std::vector<BlockIndex> blocks;
    End end;
  };
  struct Grant {
    std::uint64_t generation = 0;
    std::string token;  // 128 random bits, hex
  };

  // `random` must be unguessable; used by publish only. `on_release` is called on the releasing
  // thread after each release.
  LeaseTable(std::string engine_id, Nanos duration, const Clock& clock, Random& random,
             std::function<void()> on_release);

  const std::string& engine_id() const { return engine_id_; }

  // Confined to the engine thread.
  Grant publish(LeasedPrompt prompt);
  // Of its KV only that of the first `there` tokens has been computed.
  Grant announce(LeasedPrompt prompt, std::size_t there);
  // By now so much of it has. Without effect on a lease that has been released.
  void advance(std::uint64_t generation, const kv::Extent& there);
  // The rest will not be computed.
  void withdraw(std::uint64_t generation);
  // Ends every expired or released lease that nobody is reading.
  std::vector<Reclaimed> reclaim();

  // kNotFound: no such lease, or another engine, request, generation or token: deliberately one
  // answer. `prompt` is the reader's; kConflict: the lease is of another one.
  Status check(const kv::LeaseKey& key, const kv::Digest& prompt, std::size_t tokens) const;
  struct Read {
    std::span<const BlockIndex> blocks;
    bool complete = false;
  };
  // Prolongs the lease and keeps its blocks from being reclaimed until end_read.
  Result<Read> begin_read(const kv::LeaseKey& key);
  void end_read(std::uint64_t generation);
  struct Progress {
    kv::Extent there;
    bool complete = false;
  };
  // Waits while there is no more than `known`, at most for `most` of real time.
  Result<Progress> await(const kv::LeaseKey& key, const kv::Extent& known, Nanos most);
  Status renew(const kv::LeaseKey& key);
  Status release(const kv::LeaseKey& key);
  // By what the API knows.
  Status release(std::string_view request_id, std::string_view token);

  std::size_t leases() const;
  std::size_t blocks() const;  // block references held
  std::optional<Mono> next_expiry() const;

 private:
  struct Lease {
    LeasedPrompt prompt;
    std::string token;
    Mono expires;  // once complete
    kv::Extent there{};
    std::size_t readers = 0;
    std::optional<End> ended{};

    bool complete() const { return there.tokens == prompt.tokens; }
    bool expired(Mono now) const { return complete() && now >= expires; }
  };
  const Lease* find(const kv::LeaseKey& key) const;
  Lease* find(const kv::LeaseKey& key) {
    return const_cast<Lease*>(std::as_const(*this).find(key));
  }
  void prolong(Lease& lease) const;

  const std::string engine_id_;
  const Nanos duration_;
  const Clock& clock_;
  Random& random_;
  const std::function<void()> on_release_;
  mutable std::mutex mutex_;                         // guards the rest
  std::condition_variable moved_;                    // a lease has more, or has ended
  std::unordered_map<std::uint64_t, Lease> leases_;  // by generation
  std::uint64_t last_generation_;
  std::size_t blocks_ = 0;
};

}  // namespace baton::runtime
