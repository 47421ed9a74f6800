// Warnings for fields that are set and change nothing, and for models that a cluster does not have.

#include <fmt/format.h>

#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

void warn_of_parallelism(Build& build, const Workload& workload) {
  if (workload.is_multi_node() || build.settings().emulate_accelerators) return;
  for (const std::string_view field : {"pipeline", "data", "dataLocal", "dataRPCPort", "expert"}) {
    if (get(workload.spec, {"parallelism", field}) == nullptr) continue;
    build.warn(fmt::format("{}/parallelism/{}", workload.pointer, field),
               fmt::format("has no effect without {}/worker", workload.pointer));
  }
}

void warn_if_set(Build& build, const Value& in, std::initializer_list<std::string_view> path,
                 std::string_view base, std::string_view why) {
  if (get(in, path) == nullptr) return;
  std::string pointer(base);
  for (const std::string_view key : path) pointer = text::json::pointer(pointer, key);
  build.warn(std::move(pointer), std::string(why));
}

// What says how something is done that is not asked for.
void warn_of_model(Build& build) {
  const Value& spec = build.spec();
  const Value* adapters = get(spec, {"model", "lora", "adapters"});
  const bool adapted =
      adapters != nullptr && adapters->is_array() && !adapters->if_array()->empty();
  if (!adapted) {
    for (const std::string_view field : {"maxRank", "maxAdapters", "maxCpuAdapters"}) {
      warn_if_set(build, spec, {"model", "lora", field}, "/spec",
                  "has no effect without /spec/model/lora/adapters");
    }
  }
  const Value* confidential = get(spec, {"model", "confidential", "enabled"});
  const bool wanted = confidential != nullptr && *confidential == Value(true);
  if (!wanted) {
    warn_if_set(build, spec, {"model", "confidential", "resourceId"}, "/spec",
                "has no effect unless confidential.enabled is true");
  }
  const Value* enabled = get(spec, {"storageInitializer", "enabled"});
  if (wanted && enabled != nullptr && *enabled == Value(false)) {
    build.warn("/spec/model/confidential",
               "has no effect: with storageInitializer.enabled false nothing is downloaded");
  } else if (wanted && adapted) {
    build.warn("/spec/model/confidential",
               "has no effect beside adapters: the initializer decrypts single downloads only");
  }
}

void warn_of_uri(Build& build, const Value& model, std::string_view base) {
  if (!model.string_at({"uri"}).starts_with("baton://")) return;
  build.warn(fmt::format("{}/uri", base),
             "models of baton:// are only where `baton serve` or `baton node` runs the pods; "
             "elsewhere the storage initializer fails: name hf://, s3:// or pvc://");
}

void warn_of_own_models(Build& build) {
  if (build.settings().runs_baton) return;
  const Value* enabled = get(build.spec(), {"storageInitializer", "enabled"});
  if (enabled != nullptr && *enabled == Value(false)) return;
  const Value* model = get(build.spec(), {"model"});
  if (model == nullptr) return;
  warn_of_uri(build, *model, "/spec/model");
  const std::span<const Value> adapters = items(get(*model, {"lora", "adapters"}));
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    warn_of_uri(build, adapters[i], fmt::format("/spec/model/lora/adapters/{}", i));
  }
}

void warn_of_tracing(Build& build) {
  if (get(build.spec(), {"tracing"}) == nullptr) return;
  if (!build.spec().string_at({"tracing", "exporterEndpoint"}).empty()) return;
  build.warn("/spec/tracing", "has no effect on engines without exporterEndpoint");
}

void warn_of_probe(Build& build, bool split) {
  const std::string_view value =
      build.service.string_at({"metadata", "annotations", kProbeAnnotation});
  if (value.empty()) return;
  const std::string pointer = "/metadata/annotations/baton.dev~1probe";
  if (!asks_for_probe(build.service) && !equals_ignoring_case(value, "false")) {
    build.warn(pointer,
               fmt::format("has no effect: expected \"true\" or \"false\", is \"{}\"", value));
  } else if (asks_for_probe(build.service) && !split) {
    build.warn(pointer, "has no effect without /spec/prefill: there is no KV to transfer");
  }
}

void warn_of_workload(Build& build, const Workload& workload) {
  warn_of_parallelism(build, workload);
  warn_of_selected_labels(build, workload.spec, workload.pointer);
}

}  // namespace

void warn_of_selected_labels(Build& build, const Value& in, std::string_view pointer) {
  const Value* labels = get(in, {"labels"});
  if (labels == nullptr) return;
  const Value planned = component_labels(build.name, "");
  for (const auto& [key, value] : *labels->if_object()) {
    const Value* same = planned.find(key);
    if (!is_selected(key) || (same != nullptr && *same == value)) continue;
    build.warn(text::json::pointer(fmt::format("{}/labels", pointer), key),
               "has no effect: selectors ask for the value that is planned");
  }
}

void warn_of_useless_fields(Build& build) {
  const auto prefill = prefill_workload(build);
  warn_of_workload(build, main_workload(build));
  if (prefill) warn_of_workload(build, *prefill);

  warn_of_useless_router_fields(build);
  warn_of_model(build);
  warn_of_own_models(build);
  warn_of_tracing(build);
  warn_of_probe(build, prefill.has_value());
  const std::string_view criticality = build.service.string_at(
      {"metadata", "annotations", "internal.serving.kserve.io/model-criticality"});
  if (!criticality.empty()) {
    build.warn("/spec/model/criticality", "is kept, but has no effect");
  }
}

}  // namespace baton::plan
