// Every plugin type there is. Nothing registers itself.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/nearest.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

enum class Level : bool { kBeta, kAlpha };  // picker reference 4.1

struct Entry {
  std::string_view type;
  Plugin (*make)(Fields&);
  std::string_view instead = {};  // of a deprecated spelling: the current one
  Level level = Level::kBeta;
};

constexpr Entry alpha(std::string_view type, Plugin (*make)(Fields&)) {
  return {.type = type, .make = make, .level = Level::kAlpha};
}

constexpr std::array kPlugins = {
    // filters
    Entry{"by-label", make_by_label, "label-selector-filter"},
    Entry{"by-label-selector", make_label_selector_filter, "label-selector-filter"},
    Entry{"decode-filter", make_decode_filter},
    Entry{"encode-filter", make_encode_filter},
    alpha("endpoint-attribute-filter", make_endpoint_attribute_filter),
    Entry{"header-based-testing-filter", make_testing_filter},
    Entry{"label-selector-filter", make_label_selector_filter},
    Entry{"prefill-filter", make_prefill_filter},
    Entry{"prefix-cache-affinity-filter", make_prefix_affinity_filter},
    alpha("session-affinity-filter", make_session_affinity_filter),
    Entry{"slo-headroom-tier-filter", make_slo_headroom_tier_filter},
    alpha("topology-affinity-filter", make_topology_affinity_filter),
    alpha("utilization-filter", make_utilization_filter),
    // scorers
    Entry{"active-request-scorer", make_active_request_scorer},
    Entry{"context-length-aware", make_context_length_aware},  // a filter too
    alpha("endpoint-attribute-scorer", make_endpoint_attribute_scorer),
    alpha("header-label-affinity-scorer", make_header_label_scorer),
    Entry{"kv-cache-utilization-scorer", make_kv_cache_utilization_scorer},
    Entry{"latency-scorer", make_latency_scorer},
    Entry{"load-aware-scorer", make_load_aware_scorer},
    Entry{"lora-affinity-scorer", make_lora_affinity_scorer},
    Entry{"mm-embeddings-cache-scorer", make_media_cache_scorer},
    Entry{"no-hit-lru-scorer", make_no_hit_lru_scorer},
    Entry{"precise-prefix-cache-scorer", make_precise_prefix_cache_scorer},
    Entry{"prefix-cache-scorer", make_prefix_cache_scorer},
    Entry{"queue-scorer", make_queue_scorer},
    Entry{"running-requests-size-scorer", make_running_requests_scorer},
    alpha("session-affinity-scorer", make_session_affinity_scorer),
    Entry{"token-load-scorer", make_token_load_scorer},
    alpha("topology-affinity-scorer", make_topology_affinity_scorer),
    // pickers
    Entry{"max-score-picker", make_max_score_picker},
    Entry{"random-picker", make_random_picker},
    Entry{"weighted-random-picker", make_weighted_random_picker},
    // profile handlers and deciders
    Entry{"always-disagg-multimodal-decider", make_always_disagg_multimodal_decider},
    Entry{"always-disagg-pd-decider", make_always_disagg_pd_decider},
    Entry{"data-parallel-profile-handler", make_data_parallel_profile_handler},
    Entry{"disagg-headers-handler", make_stage_headers_handler, "disagg-profile-handler"},
    Entry{"disagg-profile-handler", make_disagg_profile_handler},
    alpha("header-profile-handler", make_header_profile_handler),
    Entry{"pd-profile-handler", make_pd_profile_handler, "disagg-profile-handler"},
    Entry{"prefill-header-handler", make_stage_headers_handler, "disagg-profile-handler"},
    Entry{"prefix-based-pd-decider", make_prefix_based_pd_decider},
    Entry{"single-profile-handler", make_single_profile_handler},
    // producers
    alpha("agent-identity", make_agent_identity),
    Entry{"approx-prefix-cache-producer", make_approx_prefix_cache_producer},
    Entry{"inflight-load-producer", make_inflight_load_producer},
    Entry{"mm-embeddings-cache-producer", make_media_cache_producer},
    Entry{"precise-prefix-cache-producer", make_precise_prefix_cache_producer},
    Entry{"predicted-latency-producer", make_predicted_latency_producer},
    Entry{"session-id-producer", make_session_id_producer},
    Entry{"token-producer", make_token_producer},
    Entry{"tokenizer", make_token_producer, "token-producer"},
    // answers
    Entry{"destination-endpoint-served-verifier", make_served_verifier},
    Entry{"request-attribute-reporter", make_request_attribute_reporter},
    // endpoints and their load
    Entry{"core-metrics-extractor", make_core_metrics_extractor},
    Entry{"endpoint-notification-source", make_endpoint_notification_source},
    Entry{"file-discovery", make_file_discovery},
    Entry{"k8s-notification-source", make_k8s_notification_source},
    Entry{"metrics-data-source", make_metrics_data_source},
    Entry{"models-data-extractor", make_models_data_extractor},
    Entry{"models-data-source", make_models_data_source},
    alpha("topology-extractor", make_topology_extractor),
    // admission and flow control
    Entry{"concurrency-detector", make_concurrency_detector},  // a filter too
    Entry{"edf-ordering-policy", make_edf_ordering_policy},
    Entry{"fcfs-ordering-policy", make_fcfs_ordering_policy},
    Entry{"global-strict-fairness-policy", make_global_strict_fairness_policy},
    Entry{"latency-slo-admitter", make_latency_slo_admitter},
    alpha("priority-holdback-policy", make_priority_holdback_policy),
    alpha("priority-then-time-eviction-order-policy", make_eviction_policy),
    Entry{"probabilistic-admitter", make_probabilistic_admitter},
    Entry{"program-aware-fairness", make_program_aware_fairness},
    Entry{"round-robin-fairness-policy", make_round_robin_fairness_policy},
    alpha("sheddable-eviction-filter", make_eviction_policy),
    Entry{"slo-deadline-ordering-policy", make_slo_deadline_ordering_policy},
    alpha("soft-reflective-ceiling-policy", make_soft_reflective_ceiling_policy),
    Entry{"static-usage-limit-policy", make_static_usage_limit_policy},
    Entry{"utilization-detector", make_utilization_detector},  // a filter too
    // parsers
    Entry{"anthropic-parser", make_anthropic_parser},
    Entry{"openai-parser", make_openai_parser},
    Entry{"passthrough-parser", make_passthrough_parser},
    Entry{"sglanghttp-parser", make_sglanghttp_parser},
    Entry{"vertexai-parser", make_vertexai_parser},
    Entry{"vllmgrpc-parser", make_vllmgrpc_parser},
    Entry{"vllmhttp-parser", make_vllmhttp_parser},
};

// Types of the llm-d picker that are not offered, and what comes nearest.
struct Absent {
  std::string_view type, instead;
};
constexpr std::string_view kNothing = "nothing stands in for it";
constexpr std::array kAbsent = {
    Absent{"active-request-filter", "it is called utilization-filter now"},
    Absent{"burst-prefix-cache-producer", "use approx-prefix-cache-producer"},
    Absent{"dcgm-data-source", "use metrics-data-source"},
    Absent{"dcgm-extractor", "use core-metrics-extractor"},
    Absent{"disaggregatedset-rollout-screener",
           "prefill pods already share the revision label of the decode pod"},
    Absent{"multicluster-approx-prefix-cache-producer", "use approx-prefix-cache-producer"},
    Absent{"multicluster-file-discovery", "use file-discovery"},
    Absent{"multicluster-kv-cache-utilization-scorer", "use kv-cache-utilization-scorer"},
    Absent{"multicluster-metrics-data-source", "use metrics-data-source"},
    Absent{"multicluster-metrics-extractor", "use core-metrics-extractor"},
    Absent{"multicluster-prefix-cache-scorer", "use prefix-cache-scorer"},
    Absent{"multicluster-queue-scorer", "use queue-scorer"},
    Absent{"multicluster-session-affinity-filter", "use prefix-cache-affinity-filter"},
    Absent{"p2p-source-producer", kNothing},
};

}  // namespace

Status check_plugin_type(std::string_view type) {
  std::array<std::string_view, kPlugins.size()> types;
  std::ranges::transform(kPlugins, types.begin(), &Entry::type);
  if (std::ranges::find(types, type) != types.end()) return {};
  if (const auto* absent = std::ranges::find(kAbsent, type, &Absent::type);
      absent != kAbsent.end()) {
    return unsupported(
        fmt::format("the plugin type '{}' is not offered: {}", type, absent->instead));
  }
  return invalid(fmt::format("unknown plugin type '{}'{}", type, did_you_mean(type, types)));
}

std::string_view current_type(std::string_view type) {
  const auto* found = std::ranges::find(kPlugins, type, &Entry::type);
  return found == kPlugins.end() || found->instead.empty() ? type : found->instead;
}

bool is_experimental(std::string_view type) {
  const auto* found = std::ranges::find(kPlugins, type, &Entry::type);
  return found != kPlugins.end() && found->level == Level::kAlpha;
}

Result<Plugin> make_plugin(std::string_view type, Fields& parameters) {
  BATON_TRY(check_plugin_type(type));
  const auto* found = std::ranges::find(kPlugins, type, &Entry::type);
  auto plugin = found->make(parameters);
  BATON_TRY(parameters.finish());
  return plugin;
}

}  // namespace baton::schedule
