// OpenTelemetry settings of engines and pickers. Controller reference 4.13.

#include <fmt/format.h>

#include "control/plan/build.hpp"
#include "control/plan/command_words.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Object;

Value variable(std::string_view name, std::string_view value) {
  return Object{{"name", name}, {"value", value}};
}

Value field(std::string_view name, std::string_view path) {
  return Object{
      {"name", name},
      {"valueFrom", Object{{"fieldRef", Object{{"apiVersion", "v1"}, {"fieldPath", path}}}}}};
}

}  // namespace

bool has_flag(const Value& container, std::string_view list, std::string_view flag) {
  for (const std::string& word : words(container, list)) {
    if (word.substr(0, word.find('=')) == flag) return true;
  }
  return false;
}

void add_tracing_env(const Build& build, std::string_view otel_name, Value& container) {
  const Value* tracing = get(build.spec(), {"tracing"});
  if (tracing == nullptr) return;
  constexpr std::string_view kNode = "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME";
  constexpr std::string_view kPod = "OTEL_RESOURCE_ATTRIBUTES_POD_NAME";
  Value& env = container["env"];
  add_named(env, variable("OTEL_SERVICE_NAME", otel_name));
  add_named(env, variable("OTEL_EXPORTER_OTLP_ENDPOINT", tracing->string_at({"exporterEndpoint"})));
  add_named(env, variable("OTEL_TRACES_EXPORTER", tracing->string_at({"exporter"})));
  add_named(env, variable("OTEL_TRACES_SAMPLER", tracing->string_at({"sampler"})));
  add_named(env, variable("OTEL_TRACES_SAMPLER_ARG", tracing->string_at({"samplerArg"})));
  // $(NAME) reaches only variables that stand before it.
  add_named(env, field(kNode, "spec.nodeName"));
  add_named(env, field(kPod, "metadata.name"));
  add_named(env,
            variable("OTEL_RESOURCE_ATTRIBUTES",
                     fmt::format("k8s.namespace.name={},k8s.node.name=$({}),k8s.pod.name=$({}),"
                                 "llmisvc.name={}",
                                 build.ns, kNode, kPod, build.name)));
}

void trace_engine(const Build& build, const Workload& workload, Value& pod) {
  Value* main = named(pod.find("containers"), "main");
  const std::string_view endpoint = build.spec().string_at({"tracing", "exporterEndpoint"});
  if (main == nullptr || endpoint.empty()) return;
  std::vector<std::string> args = words(*main, "args");
  const auto add = [&](std::string_view flag, std::string_view value) {
    if (has_flag(*main, "args", flag) || has_flag(*main, "command", flag)) return;
    args.emplace_back(flag);
    args.emplace_back(value);
  };
  add("--otlp-traces-endpoint", endpoint);
  add("--collect-detailed-traces", "all");
  set_words(*main, "args", args);
  add_tracing_env(
      build, workload.is_prefill() ? "inference-server-prefill" : "inference-server-decode", *main);
}

}  // namespace baton::plan
