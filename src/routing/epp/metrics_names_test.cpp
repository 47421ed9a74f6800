// The names that dashboards read (picker reference 6): types, labels, buckets, and deprecated
// twins.

#include <fmt/ranges.h>

#include <map>
#include <set>

#include "routing/epp/flow_metrics.hpp"
#include "routing/epp/pool_gauges.hpp"
#include "routing/epp/testing/ext_proc_fixture.hpp"

namespace baton::epp {
namespace {

using testing::ExtProcTest;
using testing::kDefault;
using testing::kThree;

struct Family {
  std::string_view name, kind, labels;
  std::string_view buckets = "";
};

constexpr std::string_view kAll = "fairness_id model_name priority target_model_name";
constexpr std::string_view kModels = "model_name target_model_name";
constexpr std::string_view kGeneral =
    "0.005 0.025 0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 5 6 8 10 15 20 30 45 60 120 180 240 300 "
    "360 480 600 900 1200 1800 2700 3600";
constexpr std::string_view kScheduling =
    "0.0001 0.0002 0.0005 0.001 0.002 0.005 0.01 0.02 0.05 0.1";
constexpr std::string_view kTokens =
    "1 8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32778 65536 131072 262144 524288 1048576";
constexpr std::string_view kSent =
    "64 128 256 512 1024 2048 4096 8192 16384 32768 65536 131072 262144 524288 1048576 2097152 "
    "4194304 8388608 16777216 33554432 67108864 134217728 268435456 536870912 1073741824";
constexpr std::string_view kAnswered =
    "1 8 16 32 64 128 256 512 1024 2048 4096 8192 16384 32778 65536";
constexpr std::string_view kOutput = "1 8 16 32 64 128 256 512 1024 2048 4096 8192";
constexpr std::string_view kPerToken = "0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10";
constexpr std::string_view kFirst =
    "0.005 0.025 0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 5 6 8 10 15 20 30 45 60 120";
constexpr std::string_view kStreamToken =
    "0.0005 0.00205 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.125 0.15 0.2 0.3 0.4 0.5 0.6 0.8 1 2";
constexpr std::string_view kGap =
    "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.15 0.2 0.3 0.5 0.75 1 2";

constexpr std::string_view kHitBytes =
    "0 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768 65536";

constexpr Family kFamilies[] = {
    {"llm_d_epp_request_total", "counter", kAll},
    {"inference_objective_request_total", "counter", "model_name priority target_model_name"},
    {"llm_d_epp_request_error_total", "counter",
     "error_code fairness_id model_name priority target_model_name"},
    {"inference_objective_request_error_total", "counter",
     "error_code model_name target_model_name"},
    {"llm_d_epp_request_duration_seconds", "histogram", kAll, kGeneral},
    {"inference_objective_request_duration_seconds", "histogram", kModels, kGeneral},
    {"llm_d_epp_request_size_bytes", "histogram", kAll, kSent},
    {"inference_objective_request_sizes", "histogram", kModels, kSent},
    {"llm_d_epp_response_size_bytes", "histogram", kAll, kAnswered},
    {"inference_objective_response_sizes", "histogram", kModels, kAnswered},
    {"llm_d_epp_request_input_tokens", "histogram", kAll, kTokens},
    {"inference_objective_input_tokens", "histogram", kModels, kTokens},
    {"llm_d_epp_request_output_tokens", "histogram", kAll, kOutput},
    {"inference_objective_output_tokens", "histogram", kModels, kOutput},
    {"llm_d_epp_request_cached_tokens", "histogram", kAll, kTokens},
    {"inference_objective_prompt_cached_tokens", "histogram", kModels, kTokens},
    {"llm_d_epp_request_running", "gauge", kAll},
    {"inference_objective_running_requests", "gauge", "model_name"},
    {"llm_d_epp_request_ntpot_seconds", "histogram", kAll, kPerToken},
    {"inference_objective_normalized_time_per_output_token_seconds", "histogram", kModels,
     kPerToken},
    {"llm_d_epp_request_ttft_seconds", "histogram",
     "fairness_id model_name priority streaming target_model_name", kFirst},
    {"llm_d_epp_request_streaming_tpot_seconds", "histogram", kAll, kStreamToken},
    {"llm_d_epp_request_streaming_itl_seconds", "histogram", kAll, kGap},
    {"llm_d_epp_average_kv_cache_utilization", "gauge", "name"},
    {"inference_pool_average_kv_cache_utilization", "gauge", "name"},
    {"llm_d_epp_average_queue_size", "gauge", "name"},
    {"inference_pool_average_queue_size", "gauge", "name"},
    {"llm_d_epp_average_running_requests", "gauge", "name"},
    {"inference_pool_average_running_requests", "gauge", "name"},
    {"llm_d_epp_std_dev_kv_cache_utilization", "gauge", "name"},
    {"llm_d_epp_std_dev_queue_size", "gauge", "name"},
    {"llm_d_epp_std_dev_running_requests", "gauge", "name"},
    {"llm_d_epp_ready_endpoints", "gauge", "name"},
    {"inference_pool_ready_pods", "gauge", "name"},
    {"llm_d_epp_per_endpoint_queue_size", "gauge", "model_server_endpoint name"},
    {"inference_pool_per_pod_queue_size", "gauge", "model_server_pod name"},
    {"llm_d_epp_scheduler_e2e_duration_seconds", "histogram", "", kScheduling},
    {"inference_extension_scheduler_e2e_duration_seconds", "histogram", "", kScheduling},
    {"llm_d_epp_scheduler_attempts_total", "counter",
     "endpoint_name namespace port status target_model_name"},
    {"inference_extension_scheduler_attempts_total", "counter",
     "namespace pod_name port status target_model_name"},
    {"llm_d_epp_request_processing_duration_seconds", "histogram", "",
     "0.0005 0.001 0.002 0.005 0.01 0.015 0.025 0.04 0.06 0.1 0.25 0.5 1 2.5 5 10"},
    {"llm_d_epp_response_processing_duration_seconds", "histogram", "",
     "0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5"},
    {"llm_d_epp_plugin_duration_seconds", "histogram", "extension_point plugin_name plugin_type",
     kScheduling},
    {"inference_extension_plugin_duration_seconds", "histogram",
     "extension_point plugin_name plugin_type", kScheduling},
    {"llm_d_epp_info", "gauge", "build_ref commit"},
    {"inference_extension_info", "gauge", "build_ref commit"},
    {"llm_d_epp_datalayer_poll_errors_total", "counter", "source_type"},
    {"llm_d_epp_datalayer_extract_errors_total", "counter", "extractor_type source_type"},
    {"llm_d_epp_prefix_indexer_hit_ratio", "histogram", "plugin_name plugin_type",
     "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1"},
    {"inference_extension_prefix_indexer_hit_ratio", "histogram", "",
     "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1"},
    {"llm_d_epp_prefix_indexer_hit_bytes", "histogram", "plugin_name plugin_type", kHitBytes},
    {"inference_extension_prefix_indexer_hit_bytes", "histogram", "", kHitBytes},
    {"llm_d_epp_prefix_indexer_size", "gauge", "plugin_name plugin_type"},
    {"inference_extension_prefix_indexer_size", "gauge", ""},
    {"llm_d_epp_disagg_decision_total", "counter",
     "decision_type model_name plugin_name plugin_type"},
    {"llm_d_inference_scheduler_disagg_decision_total", "counter", "decision_type model_name"},
    {"llm_d_epp_flow_control_pool_saturation", "gauge", "inference_pool stage"},
    {"inference_extension_flow_control_pool_saturation", "gauge", "inference_pool stage"},
    {"llm_d_epp_flow_control_stale_endpoints", "gauge", "detector"},
    {"llm_d_epp_flow_control_dispatch_cycle_duration_seconds", "histogram", "", kScheduling},
};

struct Shown {
  std::string kind, labels, buckets;
};

// By name: what an exposition says of its families.
std::map<std::string, Shown, std::less<>> families(const std::string& exposition) {
  std::map<std::string, Shown, std::less<>> out;
  std::map<std::string, std::set<std::string>> labels;
  std::string current, series;
  for (std::size_t at = 0; at < exposition.size();) {
    const auto end = exposition.find('\n', at);
    const auto line = exposition.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("# TYPE ")) {
      const auto gap = line.rfind(' ');
      current = line.substr(7, gap - 7);
      out[current].kind = line.substr(gap + 1);
      series.clear();
    }
    if (line.starts_with('#')) continue;
    const auto open = line.find('{'), close = line.rfind('}');
    if (open == std::string::npos) continue;
    std::string without_bucket;
    for (std::size_t from = open + 1; from < close;) {
      const auto equals = line.find("=\"", from), quote = line.find('"', equals + 2);
      const auto name = line.substr(from, equals - from);
      const auto value = line.substr(equals + 2, quote - equals - 2);
      if (name != "le") {
        labels[current].insert(name);
        without_bucket += value + ",";
      } else if (value != "+Inf" && (series.empty() || series == without_bucket + "|")) {
        series = without_bucket + "|";  // of the first series alone
        auto& buckets = out[current].buckets;
        buckets += (buckets.empty() ? "" : " ") + fmt::format("{}", std::stod(value));
      }
      from = quote + 2;
    }
  }
  for (const auto& [name, set] : labels) out[name].labels = fmt::format("{}", fmt::join(set, " "));
  return out;
}

TEST_F(ExtProcTest, MetricsHaveTheNamesTypesLabelsAndBucketsThatDashboardsRead) {
  serve(kThree);
  ask(R"({"model":"m","prompt":"x","stream":true})");
  send(testing::headers(Side::kResponse, {{":status", "500"}}));
  send(testing::body(Side::kResponse, "data: {}\n\n", true));
  PoolGauges gauges(registry_, "pool");
  gauges.show(picker_->pool.snapshot(), clock_.now(), Millis(1000));
  gauges.show_endpoints(picker_->pool.snapshot());
  gauges.show_plugins(picker_->pool.setup(), picker_->pool.snapshot(), picker_->pool.remembered());

  const auto shown = families(registry_.expose());
  for (const auto& wanted : kFamilies) {
    const auto found = shown.find(wanted.name);
    ASSERT_NE(found, shown.end()) << wanted.name;
    EXPECT_EQ(found->second.kind, wanted.kind) << wanted.name;
    EXPECT_EQ(found->second.labels, wanted.labels) << wanted.name;
    EXPECT_EQ(found->second.buckets, wanted.buckets) << wanted.name;
  }
}

constexpr std::string_view kInFlight =
    "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{name: mine, type: "
    "inflight-load-producer}, {type: token-load-scorer}]\n";

TEST_F(ExtProcTest, RequestsAndTokensInFlightAreShownByEndpoint) {
  serve({{"a", "10.0.0.1"}}, kInFlight);
  ask(R"({"model":"m","prompt":"0123456789abcdef"})");
  PoolGauges gauges(registry_, "pool");
  const auto shown = [&](std::string_view what) {
    gauges.show_plugins(picker_->pool.setup(), picker_->pool.snapshot(),
                        picker_->pool.remembered());
    return metric("llm_d_epp_inflight_" + std::string(what) +
                  "{endpoint_name=\"a\",namespace=\"llm\",producer_name=\"mine\",fairness_id="
                  "\"\",priority=\"\"}");
  };
  EXPECT_EQ(shown("requests"), 1);
  EXPECT_EQ(shown("tokens"), 4);
  begin();
  EXPECT_EQ(shown("requests"), 0);
  EXPECT_EQ(shown("tokens"), 0);
}

TEST_F(ExtProcTest, WhatAnEndpointHoldsOfAPromptIsCounted) {
  serve({{"a", "10.0.0.1"}}, kDefault);
  const std::string prompt(256, 'x');
  const auto body = R"({"model":"m","prompt":")" + prompt + "\"}";
  const auto labels =
      R"({plugin_name="approx-prefix-cache-producer",plugin_type="approx-prefix-cache-producer"})";
  const auto sum = [&](const std::string& what) {
    return metric("llm_d_epp_prefix_indexer_" + what + labels);
  };
  ask(body);
  EXPECT_EQ(sum("hit_bytes_sum"), 0);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  begin();
  ask(body);
  EXPECT_EQ(sum("hit_bytes_sum"), 256);
  EXPECT_EQ(sum("hit_ratio_sum"), 1);
  EXPECT_EQ(sum("hit_ratio_count"), 2);
}

constexpr std::string_view kTwoCaches =
    "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{name: gpu, type: "
    "approx-prefix-cache-producer, parameters: {autoTune: false, lruCapacityPerServer: 2}}, {name: "
    "cpu, type: approx-prefix-cache-producer, parameters: {autoTune: false, lruCapacityPerServer: "
    "8}}, {name: g, type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: gpu}}, "
    "{name: c, type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: cpu}}]\n";

TEST_F(ExtProcTest, EachCacheShowsWhatItRemembersAndWhatItKnewOfAPrompt) {
  serve({{"a", "10.0.0.1"}}, kTwoCaches);
  const std::string prompt(1024, 'x');
  const auto body = R"({"model":"m","prompt":")" + prompt + "\"}";
  ask(body);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  begin();
  ask(body);
  PoolGauges gauges(registry_, "pool");
  gauges.show_plugins(picker_->pool.setup(), picker_->pool.snapshot(), picker_->pool.remembered());
  const auto shown = [&](const std::string& what, const std::string& plugin) {
    return metric("llm_d_epp_prefix_indexer_" + what + "{plugin_name=\"" + plugin +
                  "\",plugin_type=\"approx-prefix-cache-producer\"}");
  };
  EXPECT_EQ(shown("size", "gpu"), 2);
  EXPECT_EQ(shown("size", "cpu"), 4);
  EXPECT_EQ(shown("hit_bytes_sum", "gpu"), 512);
  EXPECT_EQ(shown("hit_bytes_sum", "cpu"), 1024);
}

TEST(RequestSeries, HaveABoundOverAllTheirNames) {
  observe::Registry registry;
  Metrics metrics(registry);
  const auto name = [](std::string_view what, std::size_t i) {
    return fmt::format("{}{}", what, i);
  };
  for (std::size_t i = 0; i < kMaxSeries; ++i) {
    metrics.series(name("m", i / 100), "t", name("f", i % 100));
  }
  EXPECT_EQ(metrics.series("m0", "t", "f0").fairness, "f0");
  EXPECT_EQ(metrics.series("m0", "t", "new").fairness, kOtherLabel);
  EXPECT_EQ(metrics.series("new", "t", "f0").model, kOtherLabel);
}

TEST(RequestSeries, KeepTheNamesOfRewriteRulesWhateverElseCame) {  // epp:C018 epp:L005
  observe::Registry registry;
  Metrics metrics(registry);
  const auto name = [](std::string_view what, std::size_t i) {
    return fmt::format("{}{}", what, i);
  };
  for (std::size_t i = 0; i < kMaxSeries; ++i) {
    metrics.series(name("m", i % kMaxLabelValues), "m0", name("f", i / kMaxLabelValues));
  }
  metrics.pin_models({"mine", "mine-v2"});
  const auto& pinned = metrics.series("mine", "mine-v2", "f0");
  EXPECT_EQ(pinned.model, "mine");
  EXPECT_EQ(pinned.target, "mine-v2");
  EXPECT_EQ(pinned.fairness, kOtherLabel);
  EXPECT_EQ(&metrics.series("mine", "mine-v2", "f1"), &pinned);
  EXPECT_EQ(metrics.series("mine", "new", "f0").target, kOtherLabel);
}

TEST(DecisionSeries, HaveABoundOverModelsAndEndpointsAndEndWithTheirEndpoint) {
  observe::Registry registry;
  Metrics metrics(registry);
  schedule::Endpoint endpoint;
  endpoint.ns = "llm";
  endpoint.port = 8000;
  for (std::size_t i = 0; i < kMaxSeries + 10; ++i) {
    endpoint.name = fmt::format("e{}", i / kMaxLabelValues);
    metrics.decided(Nanos(0), fmt::format("m{}", i % kMaxLabelValues), &endpoint);
  }
  const auto line = [](std::string_view model, std::string_view name, int count) {
    return fmt::format(
        "\nllm_d_epp_scheduler_attempts_total{{status=\"success\",target_model_name=\"{}\","
        "endpoint_name=\"{}\",namespace=\"llm\",port=\"8000\"}} {}\n",
        model, name, count);
  };
  auto text = registry.expose();
  EXPECT_TRUE(text.contains(line("m0", "e0", 1)));
  EXPECT_TRUE(text.contains(line("other", "e5", 10)));
  EXPECT_FALSE(text.contains("target_model_name=\"m0\",endpoint_name=\"e5\""));

  endpoint.name = "e0";
  metrics.left(endpoint);
  text = registry.expose();
  EXPECT_FALSE(text.contains("=\"e0\""));
  EXPECT_TRUE(text.contains(line("m0", "e1", 1)));
  metrics.decided(Nanos(0), "m0", &endpoint);
  EXPECT_TRUE(registry.expose().contains(line("m0", "e0", 1)));
}

TEST(DecisionSeries, OfTooManyEndpointsAreOne) {
  observe::Registry registry;
  Metrics metrics(registry);
  schedule::Endpoint endpoint;
  endpoint.port = 8000;
  for (std::size_t i = 0; i < 2 * kMaxSeries + 10; ++i) {
    endpoint.name = fmt::format("e{}", i);
    metrics.decided(Nanos(0), "", &endpoint);
  }
  EXPECT_TRUE(registry.expose().contains(
      "\nllm_d_epp_scheduler_attempts_total{status=\"success\",target_model_name=\"other\","
      "endpoint_name=\"other\",namespace=\"\",port=\"\"} 10\n"));
}

TEST_F(ExtProcTest, ProgramsShowHowFairlyTheyWereServed) {
  FlowMetrics metrics(registry_, "pool");
  metrics.programs({{"a", {.service = 300, .waited = Millis(60), .requests = 3}},
                    {"b", {.service = 100, .waited = Nanos(0), .requests = 0}}});
  EXPECT_EQ(metric("llm_d_epp_program_aware_jains_fairness_index"), 400.0 * 400 / (2 * 100'000));
  const auto shown = [&](const std::string& what, const std::string& id) {
    return metric("llm_d_epp_program_aware_" + what + "{program_id=\"" + id + "\"}");
  };
  EXPECT_EQ(shown("avg_wait_time_milliseconds", "a"), 20);
  EXPECT_EQ(shown("avg_wait_time_milliseconds", "b"), 0);
  EXPECT_EQ(shown("attained_service_tokens", "a"), 300);
}

TEST_F(ExtProcTest, TheDeprecatedHandlersDecisionsAreCountedUnderItsName) {  // epp:D013
  serve(testing::kSplit, pick::testing::kSeedPd);
  ask(R"({"model":"m","prompt":")" + std::string(200, 'x') + "\"}");
  EXPECT_EQ(metric("llm_d_epp_pd_decision_total{plugin_name=\"pd-profile-handler\",plugin_type="
                   "\"pd-profile-handler\",model_name=\"m\",decision_type=\"prefill-decode\"}"),
            1);
  EXPECT_EQ(metric("llm_d_inference_scheduler_pd_decision_total{model_name=\"m\",decision_type="
                   "\"prefill-decode\"}"),
            1);
}

}  // namespace
}  // namespace baton::epp
