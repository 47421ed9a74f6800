#pragma once
// What a plugin can be. Plugins are immutable after construction and work on whole batches.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "routing/schedule/decision.hpp"
#include "routing/schedule/fields.hpp"

namespace baton::schedule {

struct Context {
  const Request& request;
  const Snapshot& snapshot;
  Mono now;
  Random& random;

  // Leading blocks of the prompt that the endpoint holds.
  std::uint32_t matched(Index endpoint) const;
  // Bytes of the prompt behind them.
  std::size_t uncached_bytes(Index endpoint) const;
};

class Filter {
 public:
  virtual ~Filter() = default;
  // Removes the unfit; keeps the order.
  virtual void keep(const Context& context, std::vector<Index>& candidates) const = 0;
};

class Scorer {
 public:
  virtual ~Scorer() = default;
  // One score per candidate, 0 at first; clamped to 0..1 by the caller.
  virtual void score(const Context& context, std::span<const Index> candidates,
                     std::span<float> scores) const = 0;
};

class Picker {
 public:
  virtual ~Picker() = default;
  // An index into `candidates`, which is not empty.
  virtual std::size_t pick(const Context& context, std::span<const Index> candidates,
                           std::span<const float> totals) const = 0;
};

// Runs profiles by name on behalf of a handler.
class ProfileRunner {
 public:
  virtual ~ProfileRunner() = default;
  virtual const Context& context() const = 0;
  // nullopt: the filters left nobody, or there is no such profile. Appends to Decision::runs.
  virtual std::optional<Index> run(std::string_view profile, Decision& decision) = 0;
};

// Decides which profiles run and what their results mean.
class Handler {
 public:
  virtual ~Handler() = default;
  // Once, when the configuration is complete. kInvalid: it does not suit the handler.
  virtual Status check(std::span<const std::string_view> profiles) const = 0;
  // kUnavailable: nobody can serve the request.
  virtual Status decide(ProfileRunner& profiles, Decision& decision) const = 0;
};

inline constexpr std::int64_t kMaxHashBlockBytes = 4096;

// The prompt is hashed in these blocks, for whoever reads Context::matched.
struct PrefixParameters {
  std::size_t block_bytes = 64;
  // As many as one endpoint remembers (2 MB of prompt). The October 2025 picker stops at 256: every
  // conversation past 16 KiB then goes through prefill on each turn.
  std::size_t max_blocks = 31250;
  std::size_t lru_capacity = 31250;  // hashes per endpoint
  friend bool operator==(const PrefixParameters&, const PrefixParameters&) = default;
};

// Tells the routed request its prefill endpoint; the header itself is written by the gateway.
struct PrefillHeader {
  std::string prefill_profile;
};

struct Plugin {
  std::variant<std::unique_ptr<Filter>, std::unique_ptr<Scorer>, std::unique_ptr<Picker>,
               std::unique_ptr<Handler>, PrefillHeader>
      part;
  std::optional<PrefixParameters> prefix = {};  // of the scorer that defines the blocks
  std::string prefix_from = {};   // of a handler: the scorer whose blocks it counts, "" for any
  std::size_t counted_block = 0;  // of a handler: the block bytes it was told, 0 for the scorer's
  bool prefills = false;          // of a handler: it may pick a prefill endpoint
};

// kInvalid, naming the nearest, when there is none of that type.
Status check_plugin_type(std::string_view type);
// The one list of plugin types. kInvalid: unknown type (with the nearest name), wrong parameters.
Result<Plugin> make_plugin(std::string_view type, Fields& parameters);

}  // namespace baton::schedule
