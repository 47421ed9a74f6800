#pragma once
// The endpoints of one pool at one moment, as the plugins see them. Immutable but for the
// reservations, which are live atomics per slot.

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"

namespace baton::schedule {

inline constexpr std::size_t kMaxEndpoints = 256;  // per pool
inline constexpr Nanos kLoadStaleAfter = std::chrono::seconds(2);
inline constexpr std::string_view kRoleLabel = "llm-d.ai/role";

using Slot = std::uint32_t;  // < kMaxEndpoints; an endpoint keeps its slot while it lives

struct Endpoint {
  std::string ns, name;  // of the pod
  std::string host;      // pod IP
  std::uint16_t port = 0;
  std::map<std::string, std::string> labels;
  Slot slot = 0;

  std::string_view role() const;  // of kRoleLabel; "" without
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// What an engine last told about itself.
struct Load {
  float waiting = 0, running = 0;
  float kv_usage = 0;  // 0..1
  Mono updated = Mono::min();

  bool fresh(Mono now) const { return updated != Mono::min() && now - updated <= kLoadStaleAfter; }
};

// Requests on their way per slot: counted from the pick until the answer ends, so that picks
// between two scrapes see each other. Thread-safe.
class Reservations {
 public:
  std::int32_t count(Slot slot) const { return counts_[slot].load(std::memory_order_relaxed); }
  void add(Slot slot, std::int32_t by) { counts_[slot].fetch_add(by, std::memory_order_relaxed); }

 private:
  std::array<std::atomic<std::int32_t>, kMaxEndpoints> counts_ = {};
};

// Holds one place on an endpoint. Movable.
class Reservation {
 public:
  Reservation() = default;
  // Shared: a request may outlive the pool it was picked from.
  Reservation(std::shared_ptr<Reservations> board, Slot slot);
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { release(); }
  void release();

 private:
  std::shared_ptr<Reservations> board_;
  Slot slot_ = 0;
};

struct Snapshot {
  std::shared_ptr<const std::vector<Endpoint>> endpoints;  // shared by successive snapshots
  std::vector<Load> loads;                                 // by endpoint
  std::shared_ptr<Reservations> reservations;

  std::size_t size() const { return endpoints == nullptr ? 0 : endpoints->size(); }
  // Requests waiting: as scraped, and those of ours that the scrape has not seen yet. A request
  // that the engine shows as waiting or running is not counted twice.
  float queue(std::size_t endpoint) const;
  std::int32_t reserved(std::size_t endpoint) const;
};

}  // namespace baton::schedule
