#pragma once
// The configured picker of one pool: profiles of filters, scorers and a picker, and the handler
// that runs them. Pure: same arguments, same decision.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "routing/schedule/config.hpp"
#include "routing/schedule/decision.hpp"
#include "routing/schedule/plugin.hpp"
#include "routing/schedule/setup.hpp"

namespace baton::schedule {

// Immutable, movable.
class Scheduler {
 public:
  // Applies the defaults (picker reference 3.3) and checks what spans plugins (3.4).
  // kInvalid, kUnsupported: the message names the JSON pointer.
  static Result<Scheduler> make(const PickerConfig& config);

  // kUnavailable: nobody can serve it. kExhausted: all that could are full. Cost: one pass per
  // filter and scorer over the endpoints. Changes nothing: routed() does.
  Result<Decision> schedule(const Request& request, const Snapshot& snapshot, Mono now,
                            Random& random) const;
  // The same into the memory of an earlier decision: no allocation once it has grown.
  Status schedule(const Request& request, const Snapshot& snapshot, Mono now, Random& random,
                  Decision& into) const;
  // The request goes where the decision says: for plugins that remember, which may add to its
  // answer_headers. Thread-safe.
  void routed(const Request& request, const Snapshot& snapshot, Mono now, Random& random,
              Decision& decision) const;

  // The rest of the configuration.
  const Setup& setup() const { return setup_; }

 private:
  using Timed = std::size_t;  // into Setup::timed
  struct WeightedScorer {
    std::string name;
    const Scorer* scorer;
    float weight;
    Timed timed = 0;
    std::size_t view = 0;
  };
  struct NamedFilter {
    std::string name;
    const Filter* filter;
    Timed timed = 0;
    std::size_t view = 0;
  };
  struct ViewedMemory {
    const Memory* memory;
    std::size_t view;
  };
  struct ViewedDecider {
    const Decider* decider;
    std::size_t view;
  };
  struct Profile {
    std::string name;
    std::vector<NamedFilter> filters;
    std::vector<WeightedScorer> scorers;
    const Picker* picker = nullptr;
    Timed picker_timed = 0;
  };
  class Runner;

  Status make_plugins(const PickerConfig& config);
  Status make_profiles(const PickerConfig& config);
  Status build_profile(const PickerConfig& config, const ProfileSpec& spec);
  Status default_pickers();
  Status default_handler();
  Status bind_plugins(const PickerConfig& config);
  Status bind_handler(const PickerConfig& config);
  Status make_producers(const PickerConfig& config);
  PrefixParameters default_blocks() const;
  Status join_prefix(const PickerConfig& config);
  Status make_indexes(const PickerConfig& config);
  Status add_index(const PrefixParameters& wanted, std::string_view pointer, std::size_t& index);
  void name_views();
  Status check_counted(const PickerConfig& config);
  Status join_latency(const PickerConfig& config);
  Status check_header(const PickerConfig& config);
  Plugin& add_default(std::string_view type, std::string_view why);
  void name_timed(const PickerConfig& config);
  // Of plugins_[i]; nullopt: it makes nothing for others.
  std::optional<Producer> producer(const PickerConfig& config, std::size_t i) const;

  std::vector<Plugin> plugins_;       // as configured, then those that are created
  std::vector<std::string> created_;  // their types
  std::vector<Profile> profiles_;
  const Plugin* handler_ = nullptr;  // null while being made
  Timed handler_timed_ = 0;
  std::size_t handler_view_ = 0;
  std::vector<std::size_t> views_;  // by plugin: whose matches it reads, into Setup::views
  std::vector<ViewedDecider> deciders_;
  std::vector<ViewedMemory> memories_;
  bool stage_headers_ = false;
  Setup setup_;
};

}  // namespace baton::schedule
