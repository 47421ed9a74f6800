#pragma once
// What scheduling is asked and what it answers.

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/text/json.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::schedule {

using Index = std::uint32_t;  // into Snapshot::endpoints

struct Request {
  std::size_t prompt_bytes = 0;  // flat text, see formats/openai/prompt_text.hpp
  std::size_t block_bytes = 64;
  std::uint32_t prompt_blocks = 0;  // whole blocks of it that were hashed
  std::span<const std::uint32_t> matched =
      {};                                     // by slot: leading blocks it holds; empty: none known
  std::optional<Index> excluded = {};         // an endpoint that just refused a connection
  const std::vector<Index>* among = nullptr;  // only these, ascending; null: all
};

enum class NoPrefill : std::uint8_t {
  kNone,            // a prefill endpoint was picked
  kNotRequested,    // the configuration has no prefill stage
  kBelowThreshold,  // the decode endpoint lacks less than the threshold
  kNoPrefillPods,   // none passed the prefill profile's filters
};
std::string_view name(NoPrefill reason);  // as in x-baton-prefill; "" for kNone

// One profile as it was run.
struct ProfileRun {
  std::string_view profile;
  std::vector<Index> candidates;          // what the filters left
  std::vector<std::string_view> scorers;  // plugin names
  std::vector<float> scores;              // [scorers][candidates], clamped, before the weight
  std::vector<float> totals;              // [candidates]
  std::optional<Index> picked;
};

// Views point into the Scheduler.
struct Decision {
  Index primary = 0;
  std::optional<Index> prefill;
  NoPrefill no_prefill = NoPrefill::kNotRequested;
  std::size_t uncached_bytes = 0;  // of the prompt on the primary endpoint
  std::vector<ProfileRun> runs;
};

// For logs and `explain`: pods by name, candidates, scores by scorer, reasons.
text::json::Value explain(const Decision& decision, const Snapshot& snapshot);

}  // namespace baton::schedule
