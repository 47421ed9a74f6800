#pragma once
// Follows the KV events of a pool's engines into an index: per endpoint a SUB connection, made by
// either side, and a DEALER connection while history is repeated (net/zmtp). One thread serves all
// of them and is the index's one writer.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"
#include "net/zmtp/socket.hpp"
#include "routing/index/event_index.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

inline constexpr std::size_t kMaxReplays = 8;  // at once
inline constexpr Nanos kReconnectPause = std::chrono::seconds(5);
inline constexpr Nanos kFirstReconnect = std::chrono::milliseconds(500);  // doubles up to the pause
inline constexpr Nanos kReplayLimit = std::chrono::minutes(2);
inline constexpr Nanos kReplayIdle = std::chrono::seconds(2);

struct FollowConfig {
  std::string topic = "kv@";      // prefix subscribed to
  bool connects = true;           // to the engines; else they connect here
  std::uint16_t port = 5557;      // + the rank of the endpoint in its pod
  std::uint16_t replay_port = 0;  // likewise; 0: history is not repeated
  Nanos speculative = Nanos(0);   // how long a routed prompt counts as held; 0: not
  bool metrics = false;           // under upstream's names, too
  friend bool operator==(const FollowConfig&, const FollowConfig&) = default;
};

// Thread-safe. Starts at once; stops and joins when destroyed.
class KvFollower {
 public:
  // All must outlive it.
  struct Deps {
    index::EventIndex& index;
    const Clock& clock;
    observe::Registry& registry;
  };
  // `listener`: where engines may connect; empty: nowhere.
  KvFollower(FollowConfig config, Deps deps, zmtp::Fd listener = {});
  ~KvFollower();

  // The endpoints there are, with their slots; what belonged to others is forgotten.
  void update(const std::vector<schedule::Endpoint>& endpoints);
  // The endpoint in that slot was just sent a prompt of these blocks.
  void routed(schedule::Slot slot, std::span<const kv::BlockKey> keys);
  // Whether the index has everything that the endpoint in that slot told. Wait-free.
  bool in_sync(schedule::Slot slot) const { return in_sync_[slot].load(std::memory_order_relaxed); }

 private:
  struct Impl;
  std::array<std::atomic<bool>, schedule::kMaxEndpoints> in_sync_ = {};
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::watch
