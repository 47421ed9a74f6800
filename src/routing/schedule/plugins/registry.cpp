// Every plugin type there is. Nothing registers itself.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/nearest.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

struct Entry {
  std::string_view type;
  Plugin (*make)(Fields&);
};

constexpr std::array kPlugins = {
    Entry{"decode-filter", make_decode_filter},
    Entry{"prefill-filter", make_prefill_filter},
    Entry{"kv-cache-utilization-scorer", make_kv_cache_utilization_scorer},
    Entry{"load-aware-scorer", make_load_aware_scorer},
    Entry{"prefix-cache-scorer", make_prefix_cache_scorer},
    Entry{"queue-scorer", make_queue_scorer},
    Entry{"max-score-picker", make_max_score_picker},
    Entry{"random-picker", make_random_picker},
    Entry{"pd-profile-handler", make_pd_profile_handler},
    Entry{"prefill-header-handler", make_prefill_header_handler},
    Entry{"single-profile-handler", make_single_profile_handler},
};

}  // namespace

Status check_plugin_type(std::string_view type) {
  std::array<std::string_view, kPlugins.size()> types;
  std::ranges::transform(kPlugins, types.begin(), &Entry::type);
  if (std::ranges::find(types, type) != types.end()) return {};
  return invalid(fmt::format("unknown plugin type '{}'{}", type, did_you_mean(type, types)));
}

Result<Plugin> make_plugin(std::string_view type, Fields& parameters) {
  BATON_TRY(check_plugin_type(type));
  const auto* found = std::ranges::find(kPlugins, type, &Entry::type);
  auto plugin = found->make(parameters);
  BATON_TRY(parameters.finish());
  return plugin;
}

}  // namespace baton::schedule
