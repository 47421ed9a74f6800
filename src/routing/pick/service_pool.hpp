#pragma once
// One pool of pods, behind the gateway or an endpoint picker: its picker, its prefix index, its
// pods.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "routing/index/prefix_chain.hpp"
#include "routing/index/prefix_index.hpp"
#include "routing/pick/precise_prefix.hpp"
#include "routing/schedule/decision.hpp"
#include "routing/schedule/latency.hpp"
#include "routing/schedule/record.hpp"
#include "routing/schedule/scheduler.hpp"
#include "routing/watch/pool.hpp"
#include "routing/watch/topology.hpp"

namespace baton::pick {

// Where a request goes; endpoints without their labels.
struct Route {
  schedule::Endpoint decode;
  std::optional<schedule::Endpoint> prefill;
  schedule::NoPrefill no_prefill = schedule::NoPrefill::kNotRequested;
  Nanos pick = {};
};

// What one pod, or each port of it that has its own engine, did; confined like its pool. Shared: an
// answer may outlive its pod.
struct PodTally {
  std::uint64_t requests = 0, tokens = 0, kv_bytes = 0;
  std::uint64_t tokens_before = 0;  // at the last tick
  double tokens_per_second = 0;
};

// Of a request, by what its endpoints were when it was asked.
struct Predictions {
  std::shared_ptr<const std::vector<schedule::Endpoint>> endpoints;  // null: none
  std::vector<schedule::Prediction> each;                            // by endpoint
};

// Blocks remembered of one pod, however large it says that its cache is: some 10 MB, and with
// blocks of 64 bytes the KV of 4 M tokens.
inline constexpr std::size_t kMostRemembered = std::size_t{1} << 18;

// Confined to one thread, or guarded by its owner. Shared (std::shared_ptr): a request may outlive
// its service.
class ServicePool {
 public:
  // What the owner does beside routing: a configuration that asks for what nobody does is refused.
  enum class Owner : std::uint8_t {
    kRouter,  // routes alone
    kPicker,  // also admits and queues requests, lists several endpoints for one, follows engines
  };
  explicit ServicePool(const watch::Service& service, Owner owner = Owner::kRouter);

  // What follows the engines as setup().precise says; it must outlive this. Before the first pick.
  void follow(PrecisePrefix& precise);

  // Takes the new endpoints; picker and models must be those of the constructor.
  watch::Pool::Change update(const watch::Service& service);

  const watch::Service& service() const { return service_; }
  // Why nothing can be picked, when the picker's configuration is wrong.
  const std::optional<Error>& broken() const { return broken_; }
  // Contract: not broken().
  const schedule::Setup& setup() const { return scheduler_->setup(); }

  // The chain for a prompt of this service; nullopt when its picker does not ask for one. `salt`
  // (cache_salt): engines share no KV between prompts of different ones, so chains share no block.
  std::optional<index::PrefixChain> chain(std::string_view model, std::string_view salt = {}) const;

  // A route with its places reserved; moving it keeps them.
  struct Picked {
    Route route;
    schedule::Reservation decode, prefill;
    std::shared_ptr<PodTally> decode_tally, prefill_tally;  // the latter null without prefill
    std::uint32_t matched = 0;                              // blocks that the decode pod holds
    std::vector<std::uint32_t> matched_elsewhere;           // the same in Setup::views 1, 2, …
    // Tokens of the prompt that the decode pod's own events promise; nullopt: only estimated.
    std::optional<std::uint64_t> predicted = {};
    std::vector<bool> media_held = {};  // of Ask::media: who gets them was sent them before
    std::vector<std::pair<std::string, std::string>> answer_headers;   // for the client
    std::shared_ptr<const std::vector<schedule::Endpoint>> endpoints;  // the decision's indexes
  };
  struct Ask {
    const index::PrefixChain* chain = nullptr;
    const KeyedPrompt* keyed = nullptr;  // the same prompt by its tokens
    std::size_t prompt_bytes = 0;
    std::size_t prompt_tokens = 0;                        // 0: not known
    std::optional<std::int64_t> most_tokens = {};         // that the client lets be generated
    std::optional<schedule::Endpoint> refused = {};       // leave this one out
    const std::vector<schedule::Index>* among = nullptr;  // of endpoints(), ascending; null: all
    std::string_view model = {};
    std::span<const schedule::Header> headers = {};
    std::int32_t priority = 0;
    bool multimodal = false;
    const Predictions* predictions = nullptr;
    std::span<const std::uint64_t> media = {};  // hashes of its items; not 0, each once
    schedule::Decision* decision = nullptr;     // where it goes, in memory that is used again
    schedule::Record* record = nullptr;         // where to keep what was known and decided
  };
  // kUnavailable: no pod can serve it, or the picker's configuration is wrong.
  Result<Picked> pick(const Ask& ask, Mono now, Random& random);
  // What a predictor of latency is told of each endpoint. Contract: setup().latency.
  struct Survey {
    std::shared_ptr<const std::vector<schedule::Endpoint>> endpoints;
    std::vector<schedule::LatencyRow> rows;  // by endpoint
  };
  Survey survey(const Ask& ask);
  // Whether latency-slo-admitter would let the request go.
  bool admits(const Ask& ask, const schedule::Slo& slo);
  // Whether pick() would find a pod for an ordinary request.
  bool serves(Mono now, Random& random) const;

  // The endpoint's pod, and the other's when there is one, now hold the KV of the chain's blocks:
  // new since the call before are those from `first` on. A pod that has left is passed over.
  void remember(const schedule::Endpoint& endpoint, std::span<const std::uint64_t> chain,
                std::size_t first = 0, const schedule::Endpoint* other = nullptr);

  // Scrapes. How much of a pod is remembered follows the KV cache that it tells of, unless the
  // configuration says how much: the cache's tokens at four bytes each, at most kMostRemembered.
  void loaded(const schedule::Endpoint& endpoint, const watch::Scraped& scraped, Mono now);
  // The models that it says it serves.
  void serves(const schedule::Endpoint& endpoint, std::vector<std::string> models);

  // Blocks of prompts, of all pods, by Setup::views.
  std::vector<std::size_t> remembered() const;

  std::shared_ptr<PodTally> tally(const schedule::Endpoint& endpoint);
  const std::vector<schedule::Endpoint>& endpoints() const { return *pool_.snapshot().endpoints; }
  const schedule::Snapshot& snapshot() const { return pool_.snapshot(); }

 private:
  bool holds(const schedule::Endpoint& endpoint) const;
  schedule::Request request_of(const Ask& ask);
  void take_predictions(const Predictions& predictions);
  struct Known {  // an index, and what it last matched
    explicit Known(const schedule::PrefixParameters& parameters);
    index::PrefixIndex index;
    std::size_t max_blocks;  // of a prompt
    bool engine_capacity;
    std::vector<std::uint32_t> matched, presumed;  // by slot
  };
  void match(Known& known, std::span<const std::uint64_t> chain);
  schedule::PrefixView look_up(Known& known, const index::PrefixChain& chain);
  void show_matches(const Ask& ask, schedule::Request& request);
  void match_media(std::span<const std::uint64_t> items);
  std::vector<bool> remember_media(std::span<const std::uint64_t> items,
                                   const schedule::Decision& decision);
  void size_index(schedule::Slot slot, const watch::Scraped& scraped);
  void match_precisely(const KeyedPrompt& prompt, std::size_t prompt_bytes,
                       schedule::PrefixView& view);
  void routed_precisely(const KeyedPrompt& prompt, Picked& picked);

  watch::Service service_;
  std::optional<schedule::Scheduler> scheduler_;
  std::optional<Error> broken_;
  std::deque<Known> known_;                  // by Setup::indexes
  std::optional<index::PrefixIndex> media_;  // items in place of blocks, each a chain of its own
  watch::Pool pool_;
  std::map<std::pair<std::string, std::uint16_t>, std::shared_ptr<PodTally>> tallies_;  // pod, port
  PrecisePrefix* precise_ = nullptr;  // null: not followed
  // Scratch.
  std::vector<std::uint32_t> held_, weighted_, media_held_;  // by slot; as engines tell
  std::vector<schedule::PrefixView> looked_up_, views_;      // by index, by view
  std::vector<std::uint64_t> hashes_;
  std::vector<std::uint32_t> ends_;
  index::Matches matches_;
  std::vector<schedule::Prediction> predictions_;  // by slot
  schedule::Decision decision_;
};

}  // namespace baton::pick
