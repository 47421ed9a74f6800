#pragma once
// The makers of all plugins; registry.cpp lists them by type. Each reads its own parameters; the
// caller finishes the Fields.

#include "routing/schedule/plugin.hpp"

namespace baton::schedule {

Plugin make_decode_filter(Fields& parameters);
Plugin make_prefill_filter(Fields& parameters);
Plugin make_encode_filter(Fields& parameters);
Plugin make_label_selector_filter(Fields& parameters);
Plugin make_by_label(Fields& parameters);
Plugin make_testing_filter(Fields& parameters);
Plugin make_prefix_affinity_filter(Fields& parameters);
Plugin make_context_length_aware(Fields& parameters);
Plugin make_session_affinity_filter(Fields& parameters);
Plugin make_utilization_filter(Fields& parameters);
Plugin make_endpoint_attribute_filter(Fields& parameters);
Plugin make_topology_affinity_filter(Fields& parameters);

Plugin make_queue_scorer(Fields& parameters);
Plugin make_running_requests_scorer(Fields& parameters);
Plugin make_kv_cache_utilization_scorer(Fields& parameters);
Plugin make_load_aware_scorer(Fields& parameters);
Plugin make_active_request_scorer(Fields& parameters);
Plugin make_token_load_scorer(Fields& parameters);
Plugin make_lora_affinity_scorer(Fields& parameters);
Plugin make_prefix_cache_scorer(Fields& parameters);
Plugin make_no_hit_lru_scorer(Fields& parameters);
Plugin make_session_affinity_scorer(Fields& parameters);
Plugin make_header_label_scorer(Fields& parameters);
Plugin make_endpoint_attribute_scorer(Fields& parameters);
Plugin make_topology_affinity_scorer(Fields& parameters);
Plugin make_media_cache_scorer(Fields& parameters);

Plugin make_max_score_picker(Fields& parameters);
Plugin make_random_picker(Fields& parameters);
Plugin make_weighted_random_picker(Fields& parameters);

Plugin make_single_profile_handler(Fields& parameters);
Plugin make_data_parallel_profile_handler(Fields& parameters);
Plugin make_disagg_profile_handler(Fields& parameters);
Plugin make_pd_profile_handler(Fields& parameters);
Plugin make_header_profile_handler(Fields& parameters);
Plugin make_stage_headers_handler(Fields& parameters);

Plugin make_prefix_based_pd_decider(Fields& parameters);
Plugin make_always_disagg_pd_decider(Fields& parameters);
Plugin make_always_disagg_multimodal_decider(Fields& parameters);

Plugin make_approx_prefix_cache_producer(Fields& parameters);
Plugin make_precise_prefix_cache_producer(Fields& parameters);
Plugin make_precise_prefix_cache_scorer(Fields& parameters);
Plugin make_token_producer(Fields& parameters);
Plugin make_inflight_load_producer(Fields& parameters);
Plugin make_session_id_producer(Fields& parameters);
Plugin make_agent_identity(Fields& parameters);
Plugin make_media_cache_producer(Fields& parameters);
Plugin make_request_attribute_reporter(Fields& parameters);
Plugin make_served_verifier(Fields& parameters);

Plugin make_predicted_latency_producer(Fields& parameters);
Plugin make_latency_scorer(Fields& parameters);
Plugin make_slo_headroom_tier_filter(Fields& parameters);
Plugin make_latency_slo_admitter(Fields& parameters);

Plugin make_metrics_data_source(Fields& parameters);
Plugin make_core_metrics_extractor(Fields& parameters);
Plugin make_endpoint_notification_source(Fields& parameters);
Plugin make_k8s_notification_source(Fields& parameters);
Plugin make_models_data_source(Fields& parameters);
Plugin make_models_data_extractor(Fields& parameters);
Plugin make_topology_extractor(Fields& parameters);
Plugin make_file_discovery(Fields& parameters);

Plugin make_openai_parser(Fields& parameters);
Plugin make_anthropic_parser(Fields& parameters);
Plugin make_vllmhttp_parser(Fields& parameters);
Plugin make_sglanghttp_parser(Fields& parameters);
Plugin make_vllmgrpc_parser(Fields& parameters);
Plugin make_vertexai_parser(Fields& parameters);
Plugin make_passthrough_parser(Fields& parameters);

Plugin make_fcfs_ordering_policy(Fields& parameters);
Plugin make_edf_ordering_policy(Fields& parameters);
Plugin make_slo_deadline_ordering_policy(Fields& parameters);
Plugin make_global_strict_fairness_policy(Fields& parameters);
Plugin make_round_robin_fairness_policy(Fields& parameters);
Plugin make_program_aware_fairness(Fields& parameters);
Plugin make_static_usage_limit_policy(Fields& parameters);
Plugin make_priority_holdback_policy(Fields& parameters);
Plugin make_soft_reflective_ceiling_policy(Fields& parameters);
Plugin make_eviction_policy(Fields& parameters);
Plugin make_probabilistic_admitter(Fields& parameters);
Plugin make_utilization_detector(Fields& parameters);
Plugin make_concurrency_detector(Fields& parameters);

// The matched share of the prompt.
std::unique_ptr<Scorer> make_match_scorer();

// Predictions, of the producer that the parameters name.
Need latency_need(Fields& parameters);

// For handlers whose last run left nobody: 503, or 429 when those that fit are full.
Error nobody(const Decision& decision, std::string_view problem);

}  // namespace baton::schedule
