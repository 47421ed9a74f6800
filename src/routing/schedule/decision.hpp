#pragma once
// What scheduling is asked and what it answers.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text/json.hpp"
#include "routing/schedule/laps.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::schedule {

using Index = std::uint32_t;  // into Snapshot::endpoints

// What an endpoint is predicted to take for a request. Headroom: what the client asks for less
// that.
struct Prediction {
  bool known = false;               // else nothing is predicted
  bool meets = false;               // what the client asks for
  bool idle = false;                // nothing of ours was there
  double ttft_ms = 0, tpot_ms = 0;  // to the first token; a further one
  double ttft_headroom = 0, tpot_headroom = 0;

  friend bool operator==(const Prediction&, const Prediction&) = default;
};

// A request header as scheduling sees it: name in lower case.
struct Header {
  std::string_view name, value;
};

// What one producer of matches knows of a prompt; members as in Request.
struct PrefixView {
  std::size_t block_bytes = 64;
  std::size_t block_tokens = 0;
  std::uint32_t prompt_blocks = 0;
  std::span<const std::uint32_t> matched = {}, held = {};
};
inline constexpr std::size_t kMaxPrefixViews = 4;  // of one configuration

struct Request {
  std::size_t prompt_bytes = 0;  // flat text, see formats/openai/prompt_text.hpp
  std::size_t block_bytes = 64;
  std::size_t block_tokens = 0;     // in place of bytes where engines tell what they hold; else 0
  std::uint32_t prompt_blocks = 0;  // whole blocks of it that were hashed
  // By slot: leading blocks it holds, less when on a slow tier; empty: none known.
  std::span<const std::uint32_t> matched = {};
  std::span<const std::uint32_t> held = {};      // the same whatever the tier; empty: as matched
  std::span<const Prediction> predictions = {};  // by slot; empty: none known
  std::optional<Index> excluded = {};            // an endpoint that just refused a connection
  const std::vector<Index>* among = nullptr;     // only these, ascending; null: all
  std::size_t prompt_tokens = 0;                 // 0: not known, a quarter of the bytes
  std::string_view model = {};                   // that the engine will be asked for
  std::span<const Header> headers = {};
  std::int32_t priority = 0;                       // below 0: may be shed
  bool multimodal = false;                         // carries images, sound or video
  std::uint32_t media = 0;                         // different items of those, where somebody asks
  std::span<const std::uint32_t> media_held = {};  // by slot: how many of them it was sent before
  std::span<const PrefixView> others = {};  // of further producers: views 1, 2, … (Setup::views)

  // The same request as who reads that view sees it; without such a view, as it is.
  Request seen_in(std::size_t view) const;
  void show(const PrefixView& view);
  std::string_view header(std::string_view name) const;  // "" when absent
  std::size_t tokens() const { return prompt_tokens > 0 ? prompt_tokens : (prompt_bytes + 3) / 4; }
};

enum class NoPrefill : std::uint8_t {
  kNone,            // a prefill endpoint was picked
  kNotRequested,    // the configuration has no prefill stage
  kBelowThreshold,  // the decode endpoint lacks less than the threshold
  kNoPrefillPods,   // none passed the prefill profile's filters
};
std::string_view name(NoPrefill reason);  // as in x-baton-prefill; "" for kNone

// What one filter took away.
struct Drop {
  std::string_view plugin;
  std::vector<Index> endpoints;
};

// One profile as it was run.
struct ProfileRun {
  std::string_view profile;
  std::vector<Index> candidates;          // what the filters left
  std::vector<std::string_view> scorers;  // plugin names
  std::vector<float> scores;              // [scorers][candidates], clamped, before the weight
  std::vector<float> totals;              // [candidates]
  std::optional<Index> picked;
  std::vector<Index> ranked;    // picked and the next best, as many as the picker is asked for
  std::vector<float> weights;   // [scorers]
  std::vector<Drop> drops;      // only when Decision::explain was asked for
  std::string_view drained_by;  // the plugin that left nobody
  bool saturated = false;       // it did so because they are full
};

// Views point into the Scheduler.
struct Decision {
  Index primary = 0;
  std::optional<Index> prefill;
  NoPrefill no_prefill = NoPrefill::kNotRequested;
  std::size_t uncached_bytes = 0;  // of the prompt on the primary endpoint
  std::vector<ProfileRun> runs;
  std::vector<Index> decode_candidates;       // primary first, best first
  std::vector<Index> prefill_candidates;      // prefill first, best first; empty without prefill
  std::vector<Index> encode;                  // every endpoint of the encode stage
  std::optional<std::uint16_t> primary_port;  // of data parallel ranks behind one port
  bool stage_headers = false;  // the configuration says to tell the request its stages
  std::vector<std::pair<std::string, std::string>> answer_headers;  // for the client; see routed()
  bool explain = false;                // in: keep what filters take away
  Laps* laps = nullptr;                // in: where plugins' times go; null: nobody asks
  std::vector<ProfileRun> spare = {};  // memory of earlier decisions, for Scheduler::schedule

  // decode-only, prefill-decode, encode-decode, encode-prefill-decode: the label of the metrics.
  std::string_view stages() const;
};

// For logs and `explain`: pods by name, candidates, scores by scorer, reasons.
text::json::Value explain(const Decision& decision, const Snapshot& snapshot);

// The headers that carry a decision to the sidecar, and those a client must not have sent
// (removed whether a stage ran or not).
inline constexpr std::string_view kPrefillHeader = "x-prefiller-host-port";
inline constexpr std::string_view kEncodeHeader = "x-encoder-hosts-ports";
inline constexpr std::string_view kDataParallelHeader = "x-data-parallel-host-port";
struct RoutingHeaders {
  std::vector<std::pair<std::string, std::string>> set;
  std::vector<std::string_view> remove;
  std::vector<std::string> destinations;  // host:port, best first; IPv6 in brackets
};
RoutingHeaders routing_headers(const Decision& decision, const Snapshot& snapshot);

}  // namespace baton::schedule
