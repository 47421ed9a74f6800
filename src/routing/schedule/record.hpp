#pragma once
// Decisions kept to be asked about and to be decided again: what the picker knew, what it decided.
// Hashes and lengths of prompts, never their text; no headers of the client.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "routing/schedule/decision.hpp"
#include "routing/schedule/flow/eviction.hpp"
#include "routing/schedule/scheduler.hpp"

namespace baton::schedule {

inline constexpr std::size_t kMostRecordedModel = 256;  // bytes of its name

// Views of the decision point into the Scheduler, which outlives the record.
struct Record {
  std::string id;  // of the request
  Wall at;
  Nanos took = Nanos(0);
  std::uint64_t prompt_hash = 0;  // of its last whole block; 0 without one
  std::string model;              // the beginning of a longer name
  Request request;                // without its views
  Mono now;
  std::shared_ptr<const std::vector<Endpoint>> endpoints;
  std::vector<Load> loads;  // by endpoint, as the next four
  std::vector<std::uint32_t> matched, held;
  struct View {     // what a further producer of matches knew
    PrefixView of;  // without its spans
    std::vector<std::uint32_t> matched, held;
  };
  std::vector<View> views;
  std::vector<std::int32_t> reserved;
  std::vector<std::int64_t> tokens;
  std::vector<Prediction> predictions;  // none: empty
  Decision decision;
  std::optional<Demand> evicted_for;  // the request was ended before its time
};
// Fills all but what the picker cannot know (id, at, took, prompt_hash), in the memory that `into`
// has from an earlier decision.
void record(const Request& request, const Snapshot& snapshot, Mono now, const Decision& decision,
            Record& into);
text::json::Value to_json(const Record& record);

// The last N. Confined to its owner.
class RecordRing {
 public:
  explicit RecordRing(std::size_t most) : most_(most) {}
  // Leaves in `record` what falls out, or anything: its memory.
  void add(Record& record);
  // The newest of that id; null when it is gone. Valid until the next add.
  const Record* find(std::string_view id) const;
  // Says so of the newest of that id, and returns it; null when it is gone.
  const Record* evicted(std::string_view id, const Demand& demand);
  std::vector<std::string> ids() const;  // newest first
  std::size_t size() const { return records_.size(); }

 private:
  std::size_t place(std::size_t age) const {  // from the newest
    return (newest_ + records_.size() - age) % records_.size();
  }
  std::optional<std::size_t> place_of(std::string_view id) const;

  std::size_t most_;
  std::vector<Record> records_;
  std::size_t newest_ = 0;
};

// A record decided again.
struct Replayed {
  std::string id;
  std::string before, after;                  // pods; "" for nobody
  std::string prefill_before, prefill_after;  // "" for none
  // Equal totals are broken by chance: a different pod of the same total is no change.
  bool changed = false;
  text::json::Value explanation;  // explain() of the new decision, or null with `problem`
  std::string problem;            // why nobody was picked
  bool evicted = false;           // the record says how a decision ended that stands before it
};
// kInvalid: `record` is not what to_json() writes.
Result<Replayed> replay(const text::json::Value& record, const Scheduler& scheduler,
                        Random& random);

}  // namespace baton::schedule
