#pragma once
// The makers of all plugins; registry.cpp lists them by type. Each reads its own parameters; the
// caller finishes the Fields.

#include "routing/schedule/plugin.hpp"

namespace baton::schedule {

Plugin make_decode_filter(Fields& parameters);
Plugin make_prefill_filter(Fields& parameters);

Plugin make_queue_scorer(Fields& parameters);
Plugin make_kv_cache_utilization_scorer(Fields& parameters);
Plugin make_load_aware_scorer(Fields& parameters);
Plugin make_prefix_cache_scorer(Fields& parameters);

Plugin make_max_score_picker(Fields& parameters);
Plugin make_random_picker(Fields& parameters);

Plugin make_single_profile_handler(Fields& parameters);
Plugin make_pd_profile_handler(Fields& parameters);
Plugin make_prefill_header_handler(Fields& parameters);

}  // namespace baton::schedule
