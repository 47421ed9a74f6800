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

namespace baton::schedule {

// Immutable, movable.
class Scheduler {
 public:
  // Applies the defaults (picker reference 3.3) and checks what spans plugins (3.4).
  // kInvalid, kUnsupported: the message names the JSON pointer.
  static Result<Scheduler> make(const PickerConfig& config);

  // kUnavailable: nobody can serve it. Cost: one pass per filter and scorer over the endpoints.
  Result<Decision> schedule(const Request& request, const Snapshot& snapshot, Mono now,
                            Random& random) const;

  // How prompts are to be hashed; nullopt: nobody asks, so they need not be.
  const std::optional<PrefixParameters>& prefix() const { return prefix_; }

 private:
  struct WeightedScorer {
    std::string name;
    const Scorer* scorer;
    float weight;
  };
  struct Profile {
    std::string name;
    std::vector<const Filter*> filters;
    std::vector<WeightedScorer> scorers;
    const Picker* picker = nullptr;
  };
  class Runner;

  Status build_profile(const PickerConfig& config, const ProfileSpec& spec);
  Status default_pickers();
  Status default_handler();
  Status join_prefix(const PickerConfig& config);
  Status check_header(const PickerConfig& config) const;

  std::vector<Plugin> plugins_;
  std::vector<Profile> profiles_;
  const Plugin* handler_ = nullptr;  // null while being made
  std::optional<PrefixParameters> prefix_;
};

}  // namespace baton::schedule
