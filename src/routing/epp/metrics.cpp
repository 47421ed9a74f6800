#include "routing/epp/metrics.hpp"

#include <fmt/format.h>

#include "base/core/build.hpp"
#include "base/core/utf8.hpp"

namespace baton::epp {
namespace {

using observe::Labels;
using Bounds = std::vector<double>;

const Bounds kGeneral = {.005, .025, .05, .1,  .2,  .4,  .6,  .8,   1,    1.25, 1.5, 2,
                         3,    4,    5,   6,   8,   10,  15,  20,   30,   45,   60,  120,
                         180,  240,  300, 360, 480, 600, 900, 1200, 1800, 2700, 3600};
const Bounds kScheduling = {.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1};
// 32778 is what the dashboards' queries name.
const Bounds kTokens = {1,    8,    16,    32,    64,    128,    256,    512,    1024,   2048,
                        4096, 8192, 16384, 32778, 65536, 131072, 262144, 524288, 1048576};
const Bounds kOutput = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
const Bounds kResponse = {1,    8,    16,   32,   64,    128,   256,  512,
                          1024, 2048, 4096, 8192, 16384, 32778, 65536};
const Bounds kPerToken = {.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10};
const Bounds kFirst = {.005, .025, .05, .1, .2, .4, .6, .8, 1,  1.25, 1.5, 2,
                       3,    4,    5,   6,  8,  10, 15, 20, 30, 45,   60,  120};
const Bounds kStreamToken = {.0005, .00205, .005, .01, .02, .04, .06, .08, .1, .125,
                             .15,   .2,     .3,   .4,  .5,  .6,  .8,  1,   2};
const Bounds kGap = {.001, .005, .01, .02, .04, .06, .08, .1, .15, .2, .3, .5, .75, 1, 2};
const Bounds kRequestWork = {.0005, .001, .002, .005, .01, .015, .025, .04,
                             .06,   .1,   .25,  .5,   1,   2.5,  5,    10};
const Bounds kResponseWork = {.0001, .00025, .0005, .001, .0025, .005, .01, .025,
                              .05,   .1,     .25,   .5,   1,     2.5,  5};

const Bounds kRatio = {0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1};
const Bounds kHitBytes = {0,    16,   32,   64,   128,   256,   512,
                          1024, 2048, 4096, 8192, 16384, 32768, 65536};

Bounds powers_of_two() {
  Bounds out;
  for (int power = 6; power <= 30; ++power) out.push_back(static_cast<double>(1 << power));
  return out;
}

const Labels kSource = {{"source_type", "metrics-data-source"}};
const Labels kExtractor = {{"source_type", "metrics-data-source"},
                           {"extractor_type", "core-metrics-extractor"}};

std::string current(std::string_view name) { return fmt::format("llm_d_epp_{}", name); }

}  // namespace

const std::string& LabelValues::take(std::string_view value) {
  static const std::string kOther(kOtherLabel), kEmpty;
  if (value.empty()) return kEmpty;
  if (const auto it = pinned_.find(value); it != pinned_.end()) return *it;
  if (const auto it = known_.find(value); it != known_.end()) return *it;
  if (value.size() > kMaxLabelBytes) return kOther;
  // As it is shown: values that look alike must be one, here and for whoever counts its users.
  std::string text;
  each_character(value, [&](std::string_view character) { text += character; });
  if (text != value) return take(text);
  if (known_.size() >= kMaxLabelValues) return kOther;
  return *known_.emplace(std::move(text)).first;
}

void LabelValues::pin(const std::set<std::string>& values) {
  pinned_ = decltype(pinned_)(values.begin(), values.end());
  std::erase_if(known_, [&](const std::string& value) { return pinned_.contains(value); });
}

Metrics::Plugins Metrics::plugins_of(const schedule::Setup& setup) {
  Plugins out{
      .handler_name = setup.handler_name, .handler_type = setup.handler_type, .timed = setup.timed};
  for (const auto& producer : setup.producers) {
    if (producer.data == schedule::Data::kMedia) {
      out.media_name = producer.name;
      out.media_type = producer.type;
    }
    if (producer.data == schedule::Data::kPrefixMatch) out.prefixes.push_back(producer);
  }
  return out;
}

Metrics::Metrics(observe::Registry& registry, Plugins plugins)
    : registry_(registry),
      plugins_(std::move(plugins)),
      scheduling_(histogram("scheduler_e2e_duration_seconds", "time to choose endpoints",
                            kScheduling, {}, "inference_extension_scheduler_e2e_duration_seconds",
                            {})),
      poll_errors_(counter("datalayer_poll_errors_total", "scrapes without an answer", kSource,
                           "llm_d_inference_scheduler_datalayer_poll_errors_total", kSource)),
      extract_errors_(
          counter("datalayer_extract_errors_total", "scrapes that lack metrics", kExtractor,
                  "llm_d_inference_scheduler_datalayer_extract_errors_total", kExtractor)),
      request_processing_(registry.histogram(current("request_processing_duration_seconds"),
                                             "from a request's headers to its body being handled",
                                             kRequestWork)),
      response_processing_(registry.histogram(current("response_processing_duration_seconds"),
                                              "work on one piece of a response", kResponseWork)),
      removed_headers_(registry.counter("baton_epp_removed_headers_total",
                                        "routing headers that clients sent, taken out")),
      removed_params_(registry.counter("baton_epp_removed_transfer_params_total",
                                       "bodies out of which kv_transfer_params were taken")),
      gone_(registry.counter("baton_epp_client_gone_total",
                             "streams that ended before their answer did")),
      unread_usage_(registry.counter("baton_epp_unread_usage_total",
                                     "answers whose report of their tokens is no JSON")),
      streams_(registry.gauge("baton_epp_streams", "ext_proc streams that are open")),
      plugin_times_(registry, plugins_.timed) {
  const Labels running = {{"commit", std::string(build().commit)},
                          {"build_ref", "baton-" + std::string(build().version)}};
  registry.gauge(current("info"), "what is running", running).set(1);
  registry.gauge("inference_extension_info", "what is running", running).set(1);
  for (const auto& producer : plugins_.prefixes) {
    const Labels labels = {{"plugin_name", producer.name}, {"plugin_type", producer.type}};
    hits_.push_back(
        {.view = producer.view,
         .ratio = histogram("prefix_indexer_hit_ratio", "share of a prompt that its endpoint holds",
                            kRatio, labels, "inference_extension_prefix_indexer_hit_ratio", {}),
         .bytes =
             histogram("prefix_indexer_hit_bytes", "bytes of a prompt that its endpoint holds",
                       kHitBytes, labels, "inference_extension_prefix_indexer_hit_bytes", {})});
  }
}

void Metrics::matched(std::size_t view, std::size_t bytes, std::size_t of) {
  if (of == 0) return;
  for (const auto& hits : hits_) {
    if (hits.view != view) continue;
    observe_in(hits.bytes, static_cast<double>(bytes));
    observe_in(hits.ratio, static_cast<double>(bytes) / static_cast<double>(of));
  }
}

Counts Metrics::counter(std::string_view name, std::string_view help, const Labels& labels,
                        std::string_view old, const Labels& old_labels) {
  return {&registry_.counter(current(name), help, labels),
          &registry_.counter(old, help, old_labels)};
}

Spread Metrics::histogram(std::string_view name, std::string_view help, const Bounds& bounds,
                          const Labels& labels, std::string_view old, const Labels& old_labels) {
  Spread out;
  out.now = &registry_.histogram(current(name), help, bounds, labels);
  if (!old.empty()) out.old = &registry_.histogram(old, help, bounds, old_labels);
  return out;
}

Metrics::Series& Metrics::series(std::string_view model, std::string_view target,
                                 std::string_view fairness, std::int32_t priority) {
  const std::lock_guard lock(mutex_);
  using View = std::string_view;
  using Labelled = std::tuple<View, View, View, std::int32_t>;
  Labelled wanted(models_.take(model), models_.take(target), fairness_.take(fairness), priority);
  auto found = series_.find(wanted);
  const auto narrow = [&](View of_model, View of_target) {
    wanted = Labelled(of_model, of_target, kOtherLabel, priority);
    found = series_.find(wanted);
  };
  if (found == series_.end() && series_.size() >= kMaxSeries) {
    const auto kept = [&](View name) { return models_.pinned(name) ? name : kOtherLabel; };
    narrow(kept(std::get<0>(wanted)), kept(std::get<1>(wanted)));
  }
  if (found == series_.end() && series_.size() >= 2 * kMaxSeries) narrow(kOtherLabel, kOtherLabel);
  if (found != series_.end()) return found->second;
  const std::tuple<std::string, std::string, std::string, std::int32_t> key(wanted);
  const auto& [m, t, f, p] = key;
  const auto rank = fmt::to_string(p);
  const Labels all = {
      {"model_name", m}, {"target_model_name", t}, {"fairness_id", f}, {"priority", rank}};
  const Labels models = {{"model_name", m}, {"target_model_name", t}};
  const auto spread = [&](std::string_view name, std::string_view help, const Bounds& bounds,
                          std::string_view old) {
    return histogram(name, help, bounds, all, old, models);
  };
  const auto first = [&](std::string_view streaming) {
    Labels labels = all;
    labels.emplace_back("streaming", streaming);
    return histogram("request_ttft_seconds", "from a request's headers to its first bytes", kFirst,
                     labels, "", {});
  };
  Series made{
      .model = m,
      .target = t,
      .fairness = f,
      .priority = rank,
      .requests =
          counter("request_total", "requests placed", all, "inference_objective_request_total",
                  {{"model_name", m}, {"target_model_name", t}, {"priority", rank}}),
      .duration = spread("request_duration_seconds", "whole requests", kGeneral,
                         "inference_objective_request_duration_seconds"),
      .request_bytes = spread("request_size_bytes", "request bodies", powers_of_two(),
                              "inference_objective_request_sizes"),
      .response_bytes = spread("response_size_bytes", "response bodies", kResponse,
                               "inference_objective_response_sizes"),
      .input_tokens = spread("request_input_tokens", "prompt tokens told by engines", kTokens,
                             "inference_objective_input_tokens"),
      .output_tokens = spread("request_output_tokens", "generated tokens told by engines", kOutput,
                              "inference_objective_output_tokens"),
      .cached_tokens = spread("request_cached_tokens", "cached prompt tokens told by engines",
                              kTokens, "inference_objective_prompt_cached_tokens"),
      .per_output_token = spread("request_ntpot_seconds", "duration by generated token", kPerToken,
                                 "inference_objective_normalized_time_per_output_token_seconds"),
      .running = {.now = &registry_.gauge(current("request_running"), "requests at engines", all),
                  .old = &registry_.gauge("inference_objective_running_requests",
                                          "requests at engines", {{"model_name", m}})},
      .first_token = first("false"),
      .first_token_streamed = first("true"),
      .stream_token = spread("request_streaming_tpot_seconds", "time by token behind the first",
                             kStreamToken, ""),
      .stream_gap = spread("request_streaming_itl_seconds", "between pieces of a stream", kGap, ""),
  };
  return series_.emplace(key, std::move(made)).first->second;
}

void Metrics::pin_models(const std::set<std::string>& names) {
  const std::lock_guard lock(mutex_);
  models_.pin(names);
}

void Metrics::failed(const Series& series, std::string_view code) {
  const std::string text(code);
  const Counts errors = counter(
      "request_error_total", "requests that failed, by code",
      {{"model_name", series.model},
       {"target_model_name", series.target},
       {"fairness_id", series.fairness},
       {"priority", series.priority},
       {"error_code", text}},
      "inference_objective_request_error_total",
      {{"model_name", series.model}, {"target_model_name", series.target}, {"error_code", text}});
  errors.each([](observe::Counter& c) { c.add(); });
}

void Metrics::staged(std::string_view model, std::string_view stages) {
  const std::lock_guard lock(mutex_);
  const std::tuple<std::string_view, std::string_view> key(
      models_.take(model.empty() ? "unknown" : model), stages);
  auto found = stages_.find(key);
  if (found == stages_.end()) {
    constexpr std::string_view kHelp = "decisions, by the stages that requests get";
    const Labels old = {{"model_name", std::string(std::get<0>(key))},
                        {"decision_type", std::string(stages)}};
    Labels now = {{"plugin_name", plugins_.handler_name}, {"plugin_type", plugins_.handler_type}};
    now.insert(now.end(), old.begin(), old.end());
    std::vector<Counts> made = {counter("disagg_decision_total", kHelp, now,
                                        "llm_d_inference_scheduler_disagg_decision_total", old)};
    if (plugins_.handler_type == "pd-profile-handler") {
      made.push_back(counter("pd_decision_total", kHelp, now,
                             "llm_d_inference_scheduler_pd_decision_total", old));
    }
    found = stages_.emplace(key, std::move(made)).first;
  }
  for (const auto& counts : found->second) {
    counts.each([](observe::Counter& c) { c.add(); });
  }
}

void Metrics::encoded(const std::vector<std::string_view>& kinds, const std::vector<bool>& held,
                      std::string_view pod) {
  const Labels plugin = {{"plugin_type", plugins_.media_type},
                         {"plugin_name", plugins_.media_name}};
  const std::lock_guard lock(mutex_);  // left() ends such series
  double hits = 0;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    auto labels = plugin;
    labels.emplace_back("modality", kinds[i]);
    registry_.counter(current("encoder_cache_queries_total"), "items that are not text", labels)
        .add();
    if (!held[i]) continue;
    hits += 1;
    labels.emplace_back("pod", pod);
    registry_
        .counter(current("encoder_cache_hits_total"), "items that their pod was sent before",
                 labels)
        .add();
  }
  registry_
      .histogram(current("encoder_cache_hit_ratio"), "share of a request's items that its pod had",
                 kRatio, plugin)
      .observe(hits / static_cast<double>(kinds.size()));
}

void Metrics::rewritten(std::string_view by, std::string_view model, std::string_view target) {
  std::string m;
  std::string t;
  {
    const std::lock_guard lock(mutex_);
    m = models_.take(model);
    t = models_.take(target);
  }
  const Labels labels = {
      {"model_rewrite_name", std::string(by)}, {"model_name", m}, {"target_model", t}};
  counter("model_rewrite_decisions_total", "models that rewrite rules replaced", labels,
          "inference_extension_model_rewrite_decisions_total", labels)
      .each([](observe::Counter& c) { c.add(); });
}

void Metrics::models_failed() {
  const Labels labels = {{"source_type", "models-data-source"}};
  counter("datalayer_poll_errors_total", "scrapes without an answer", labels,
          "llm_d_inference_scheduler_datalayer_poll_errors_total", labels)
      .each([](observe::Counter& c) { c.add(); });
}

void Metrics::models_unread() {
  const Labels labels = {{"source_type", "models-data-source"},
                         {"extractor_type", "models-data-extractor"}};
  counter("datalayer_extract_errors_total", "scrapes that lack metrics", labels,
          "llm_d_inference_scheduler_datalayer_extract_errors_total", labels)
      .each([](observe::Counter& c) { c.add(); });
}

void Metrics::decided(Nanos took, std::string_view target, const schedule::Endpoint* chosen) {
  observe_in(scheduling_, seconds(took));
  using Key = std::tuple<std::string_view, std::string_view, std::uint16_t>;
  const bool placed = chosen != nullptr;
  const std::lock_guard lock(mutex_);
  Key key(models_.take(target), placed ? std::string_view(chosen->name) : "",
          placed ? chosen->port : std::uint16_t{0});
  auto found = attempts_.find(key);
  const auto narrow = [&](const Key& to) {
    key = to;
    found = attempts_.find(key);
  };
  if (found == attempts_.end() && attempts_.size() >= kMaxSeries &&
      !models_.pinned(std::get<0>(key))) {
    narrow(Key(kOtherLabel, std::get<1>(key), std::get<2>(key)));
  }
  if (found == attempts_.end() && attempts_.size() >= 2 * kMaxSeries) {
    narrow(Key(kOtherLabel, placed ? kOtherLabel : "", 0));
  }
  if (found == attempts_.end()) {
    const auto& [model, name, port] = key;
    const bool named = port != 0;
    const auto labels = [&](const char* endpoint) -> Labels {
      return {{"status", placed ? "success" : "failure"},
              {"target_model_name", std::string(model)},
              {endpoint, std::string(name)},
              {"namespace", named ? chosen->ns : ""},
              {"port", named ? fmt::to_string(port) : ""}};
    };
    found = attempts_
                .emplace(key, counter("scheduler_attempts_total",
                                      "decisions, by outcome and endpoint", labels("endpoint_name"),
                                      "inference_extension_scheduler_attempts_total",
                                      labels("pod_name")))
                .first;
  }
  found->second.each([](observe::Counter& c) { c.add(); });
}

void Metrics::left(const schedule::Endpoint& endpoint) {
  const auto port = fmt::to_string(endpoint.port);
  const std::lock_guard lock(mutex_);
  std::erase_if(attempts_, [&](const auto& one) {
    return std::get<1>(one.first) == endpoint.name && std::get<2>(one.first) == endpoint.port;
  });
  registry_.end_series(current("scheduler_attempts_total"),
                       {{"endpoint_name", endpoint.name}, {"port", port}});
  registry_.end_series("inference_extension_scheduler_attempts_total",
                       {{"pod_name", endpoint.name}, {"port", port}});
  registry_.end_series(current("encoder_cache_hits_total"), {{"pod", endpoint.id()}});
}

}  // namespace baton::epp
