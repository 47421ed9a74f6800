#pragma once
// The endpoints of one pool at one moment, as the plugins see them. Immutable but for the
// reservations, which are live atomics per slot.

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"

namespace baton::schedule {

inline constexpr std::size_t kMaxEndpoints = 1024;  // per pool
inline constexpr Nanos kLoadStaleAfter = std::chrono::seconds(2);
inline constexpr std::string_view kRoleLabel = "llm-d.ai/role";
// Equal on pods that can read each other's KV (control/plan/labels.hpp).
inline constexpr std::string_view kRevisionLabel = "baton.dev/revision";

using Slot = std::uint32_t;  // < kMaxEndpoints; an endpoint keeps its slot while it lives

struct Endpoint {
  std::string ns, name;  // of the pod
  std::string host;      // pod IP
  std::uint16_t port = 0;
  std::map<std::string, std::string> labels;
  Slot slot = 0;
  std::optional<std::uint16_t> rank = {};  // of the port among its pool's; nullopt: has no pool
  std::string hostname = {};               // that the pod asks for; "": none

  std::string id() const;  // "pod-rank-0", or its name without a rank
  std::string qualified_id() const { return ns + '/' + id(); }
  std::string_view role() const;                       // of kRoleLabel; "" without
  std::string_view label(std::string_view key) const;  // "" without
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// Stands for a qualified id: equal for an endpoint that comes back.
std::uint64_t identity_of(std::string_view qualified_id);

// The stages that a role stands for.
using Stages = std::uint8_t;
inline constexpr Stages kDecodes = 1, kPrefills = 2, kEncodes = 4, kUnlabelled = 8;
Stages stages_of(std::string_view role);

// What filters and scorers ask of every endpoint, side by side.
struct Columns {
  std::vector<Slot> slots;
  std::vector<Stages> stages;
  std::vector<std::uint32_t> revisions;   // equal numbers: equal labels; 0: no label
  std::vector<std::uint64_t> identities;  // identity_of their qualified ids
};
std::shared_ptr<const Columns> columns_of(const std::vector<Endpoint>& endpoints);

// LoRA adapters as an engine reports them.
struct Adapters {
  std::vector<std::string> active, waiting;
  std::uint32_t most = 0;
  friend bool operator==(const Adapters&, const Adapters&) = default;
};

// Metrics of an engine's own, by the names that the configuration gives them.
struct Attributes {
  std::vector<std::pair<std::string, double>> values;
  std::optional<double> find(std::string_view name) const;
};

// What an engine last told about itself.
struct Load {
  float waiting = 0, running = 0;
  float kv_usage = 0;  // 0..1
  Mono updated = Mono::min();
  std::shared_ptr<const Adapters> adapters = {};                // null: it told of none
  std::shared_ptr<const Attributes> attributes = {};            // null: likewise
  std::shared_ptr<const std::vector<std::string>> models = {};  // null: it was not asked

  bool fresh(Mono now) const { return updated != Mono::min() && now - updated <= kLoadStaleAfter; }
};

// Requests on their way per slot, and the tokens that are still to be computed: counted from the
// pick until the answer ends, so that picks between two scrapes see each other. Thread-safe.
class Reservations {
 public:
  std::int32_t count(Slot slot) const { return counts_[slot].load(std::memory_order_relaxed); }
  void add(Slot slot, std::int32_t by) { counts_[slot].fetch_add(by, std::memory_order_relaxed); }
  std::int64_t tokens(Slot slot) const { return tokens_[slot].load(std::memory_order_relaxed); }
  void add_tokens(Slot slot, std::int64_t by) {
    tokens_[slot].fetch_add(by, std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<std::int64_t>, kMaxEndpoints> tokens_ = {};
  std::array<std::atomic<std::int32_t>, kMaxEndpoints> counts_ = {};
};

// Holds one place on an endpoint. Movable.
class Reservation {
 public:
  Reservation() = default;
  // Shared: a request may outlive the pool it was picked from.
  // `tokens` until the answer begins, `later` until it ends.
  Reservation(std::shared_ptr<Reservations> board, Slot slot, std::int64_t tokens = 0,
              std::int64_t later = 0);
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { release(); }
  void release();
  // The answer has begun: its prompt is computed.
  void release_tokens();

 private:
  std::shared_ptr<Reservations> board_;
  Slot slot_ = 0;
  std::int64_t tokens_ = 0, later_ = 0;
};

struct Snapshot {
  std::shared_ptr<const std::vector<Endpoint>> endpoints;  // shared by successive snapshots
  std::shared_ptr<const Columns> columns;                  // of the endpoints; see set_endpoints
  std::vector<Load> loads;                                 // by endpoint
  std::shared_ptr<Reservations> reservations;

  void set_endpoints(std::shared_ptr<const std::vector<Endpoint>> to);
  std::size_t size() const { return endpoints == nullptr ? 0 : endpoints->size(); }
  // Requests waiting: as scraped, and those of ours that the scrape has not seen yet. A request
  // that the engine shows as waiting or running is not counted twice.
  float queue(std::size_t endpoint) const;
  std::int32_t reserved(std::size_t endpoint) const {
    return reservations == nullptr ? 0 : reservations->count(columns->slots[endpoint]);
  }
  std::int64_t tokens(std::size_t endpoint) const {
    return reservations == nullptr ? 0 : reservations->tokens(columns->slots[endpoint]);
  }
};

}  // namespace baton::schedule
