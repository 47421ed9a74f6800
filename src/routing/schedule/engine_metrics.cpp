#include "routing/schedule/engine_metrics.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace baton::schedule {
namespace {

using text::json::Value;

std::string_view unquoted(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text.remove_prefix(1);
    text.remove_suffix(1);
  }
  return text;
}

bool is_name(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == ':';
  };
  return !text.empty() && std::ranges::all_of(text, allowed);
}

std::string common_prefix(const EngineMetrics& engine) {
  std::vector<const MetricSpec*> specs = {&engine.waiting,  &engine.running,    &engine.kv_usage,
                                          &engine.adapters, &engine.cache_info, &engine.block_size,
                                          &engine.blocks};
  for (const auto& custom : engine.custom) specs.push_back(&custom.spec);
  std::optional<std::string> out;
  for (const auto* spec : specs) {
    if (spec->empty()) continue;
    if (!out) out = spec->family;
    const auto end = std::ranges::mismatch(*out, spec->family).in1;
    out->erase(end, out->end());
  }
  return out.value_or("");
}

MetricSpec one(std::string_view family) { return {.family = std::string(family), .labels = {}}; }
MetricSpec one(std::string_view family, std::string_view label, std::string_view value) {
  return {.family = std::string(family), .labels = {{std::string(label), std::string(value)}}};
}

std::vector<EngineMetrics> make_built_in() {
  constexpr std::string_view kRequests = "nv_trt_llm_request_metrics";
  constexpr std::string_view kBlocks = "nv_trt_llm_kv_cache_block_metrics";
  constexpr std::string_view kBlockType = "kv_cache_block_type";
  std::vector<EngineMetrics> out;
  out.push_back({.name = "vllm",
                 .waiting = one("vllm:num_requests_waiting"),
                 .running = one("vllm:num_requests_running"),
                 .kv_usage = one("vllm:kv_cache_usage_perc"),
                 .adapters = one("vllm:lora_requests_info"),
                 .cache_info = one("vllm:cache_config_info"),
                 .block_size_label = "block_size",
                 .blocks_label = "num_gpu_blocks"});
  out.push_back({.name = "sglang",
                 .waiting = one("sglang:num_queue_reqs"),
                 .running = one("sglang:num_running_reqs"),
                 .kv_usage = one("sglang:token_usage"),
                 .cache_info = one("sglang:cache_config_info"),
                 .block_size_label = "page_size",
                 .blocks_label = "num_pages"});
  out.push_back({.name = "trtllm-serve",
                 .waiting = one("trtllm_num_requests_waiting"),
                 .running = one("trtllm_num_requests_running"),
                 .kv_usage = one("trtllm_kv_cache_utilization"),
                 .block_size = one("trtllm_kv_cache_tokens_per_block"),
                 .blocks = one("trtllm_kv_cache_max_blocks")});
  out.push_back({.name = "triton-tensorrt-llm",
                 .waiting = one(kRequests, "request_type", "waiting"),
                 .running = one(kRequests, "request_type", "scheduled"),
                 .kv_usage = one(kBlocks, kBlockType, "fraction"),
                 .block_size = one(kBlocks, kBlockType, "tokens_per"),
                 .blocks = one(kBlocks, kBlockType, "max")});
  out.push_back({.name = "triton",
                 .waiting = one("nv_inference_pending_request_count"),
                 .running = one("nv_inference_exec_count")});
  for (auto& engine : out) engine.prefix = common_prefix(engine);
  return out;
}

MetricSpec read_spec(Fields& fields, std::string_view key) {
  auto spec = parse_metric_spec(fields.text(key, ""));
  if (spec) return *std::move(spec);
  fields.fail(key, spec.error().message());
  return {};
}

void read_custom(Fields& fields, EngineMetrics& engine) {
  const auto& items = fields.array("customMetrics");
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields one(items[i], text::json::pointer(fields.pointer() + "/customMetrics", i),
               fields.settings());
    CustomMetric custom{.attribute = one.text("attributeKey", ""),
                        .spec = read_spec(one, "metricSpec")};
    if (custom.attribute.empty()) one.fail("attributeKey", "the attribute's name is missing");
    if (custom.spec.empty()) one.fail("metricSpec", "the metric's name is missing");
    const auto there = std::ranges::find(engine.custom, custom.attribute, &CustomMetric::attribute);
    if (there != engine.custom.end()) one.fail("attributeKey", "the attribute is there twice");
    fields.take_error(one);
    engine.custom.push_back(std::move(custom));
  }
}

EngineMetrics read_engine(Fields& fields) {
  EngineMetrics out;
  out.name = fields.text("name", "");
  out.waiting = read_spec(fields, "queuedRequestsSpec");
  out.running = read_spec(fields, "runningRequestsSpec");
  out.kv_usage = read_spec(fields, "kvUsageSpec");
  out.adapters = read_spec(fields, "loraSpec");
  out.cache_info = read_spec(fields, "cacheInfoSpec");
  out.block_size_label = fields.text("cacheBlockSizeLabelName", "block_size");
  out.blocks_label = fields.text("cacheNumBlocksLabelName", "num_gpu_blocks");
  out.block_size = read_spec(fields, "cacheBlockSizeSpec");
  out.blocks = read_spec(fields, "cacheNumBlocksSpec");
  read_custom(fields, out);
  if (out.name.empty()) fields.fail("name", "an engine needs a name");
  if (out.name == "default") fields.fail("name", "the name 'default' is reserved");
  out.prefix = common_prefix(out);
  return out;
}

}  // namespace

Result<MetricSpec> parse_metric_spec(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return invalid(fmt::format("'{}': {}; expected name or name{{label=value,...}}", text, why));
  };
  MetricSpec out;
  auto rest = trimmed(text);
  if (rest.empty()) return out;
  const auto brace = rest.find('{');
  const auto family = trimmed(rest.substr(0, brace));
  if (!is_name(family)) return wrong("no metric's name");
  out.family = family;
  if (brace == std::string_view::npos) return out;
  if (rest.find('{', brace + 1) != std::string_view::npos || rest.find('}') != rest.size() - 1) {
    return wrong("braces that do not fit");
  }
  rest = rest.substr(brace + 1, rest.size() - brace - 2);
  while (!trimmed(rest).empty()) {
    const auto comma = std::min(rest.find(','), rest.size());
    const auto pair = trimmed(rest.substr(0, comma));
    rest.remove_prefix(std::min(rest.size(), comma + 1));
    const auto equals = pair.find('=');
    const auto label = trimmed(pair.substr(0, equals));
    if (equals == std::string_view::npos || !is_name(label)) return wrong("no label=value");
    out.labels.emplace_back(label, unquoted(trimmed(pair.substr(equals + 1))));
  }
  return out;
}

std::span<const EngineMetrics> built_in_engines() {
  static const std::vector<EngineMetrics> kEngines = make_built_in();
  return kEngines;
}

Result<std::vector<EngineMetrics>> engines_of(const Value& configs, std::string_view pointer,
                                              std::vector<Setting>* settings) {
  std::vector<EngineMetrics> out;
  const auto known = [&](std::string_view name) {
    return std::ranges::find(out, name, &EngineMetrics::name) != out.end();
  };
  if (const auto* items = configs.if_array()) {
    for (std::size_t i = 0; i < items->size(); ++i) {
      Fields fields((*items)[i], text::json::pointer(pointer, i), settings);
      auto engine = read_engine(fields);
      if (known(engine.name)) fields.fail("name", "an engine is there twice");
      BATON_TRY(fields.finish());
      out.push_back(std::move(engine));
    }
  }
  for (const auto& engine : built_in_engines()) {
    if (!known(engine.name)) out.push_back(engine);
  }
  return out;
}

}  // namespace baton::schedule
