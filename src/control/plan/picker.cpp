// The endpoint picker's Deployment and Service, and the pools it picks from.

#include "control/plan/picker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/plan/objects.hpp"
#include "control/plan/picker_config.hpp"
#include "control/plan/picker_document.hpp"
#include "control/plan/picker_flags.hpp"
#include "control/plan/picker_migrations.hpp"
#include "control/plan/storage.hpp"
#include "formats/api/convert.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kComponentName = "llminferenceservice-router-scheduler";
constexpr std::string_view kVersion = "app.kubernetes.io/version";
constexpr std::string_view kPointer = "/spec/router/scheduler";

const Value& scheduler(const Build& build) {
  return *build.spec().find_path({"router", "scheduler"});
}

Value pod_metadata_of(const Build& build) {
  Value metadata = Object{{"labels", picker_labels(build)}};
  for (const std::string_view map : {"labels", "annotations"}) {
    const Value* from = get(scheduler(build), {map});
    if (from == nullptr) continue;
    for (const auto& [key, value] : *from->if_object()) {
      if (map != "labels" || !is_selected(key)) metadata[map][key] = value;
    }
  }
  // What the program's configuration is written for; a user's own word counts.
  if (metadata.string_at({"annotations", kVersion}).empty() &&
      !build.settings().picker_version.empty()) {
    metadata["annotations"][kVersion] = build.settings().picker_version;
  }
  return metadata;
}

void warn_of_version(Build& build, std::string_view image, Version version) {
  const std::string_view name = image.substr(image.rfind('/') + 1);
  const bool upstream = name.contains("endpoint-picker") || name.contains("inference-scheduler");
  if (!upstream || version != Version{}) return;
  build.warn(fmt::format("{}/template/containers", kPointer),
             fmt::format("{} is an upstream endpoint picker of unknown version: say it in "
                         "scheduler.annotations[{}], so that its configuration is written for it",
                         image, kVersion));
}

void trace(const Build& build, Value& main) {
  if (get(build.spec(), {"tracing"}) == nullptr) return;
  if (!has_flag(main, "tracing")) main["args"].push_back("--tracing=true");
  add_tracing_env(build, "inference-scheduler", main);
}

Result<std::string_view> complete_main(Build& build, Version version, Value& pod) {
  Value* main = named(pod.find("containers"), "main");
  if (main == nullptr) {
    build.warn(fmt::format("{}/template/containers", kPointer),
               "no container is called main: no configuration is added");
    return kFromService;
  }
  if (main->string_at({"image"}).empty()) (*main)["image"] = build.settings().picker_image;
  warn_of_version(build, main->string_at({"image"}), version);
  const std::string url = tokenizer_url(build);
  const std::string_view origin = add_picker_arguments(build, version, url, *main);
  trace(build, *main);
  BATON_TRY(use_tokenizer_sidecar(pod).with(kPointer));
  BATON_TRY(migrate_picker(pod, version, url).with(kPointer));
  return origin;
}

// A tokenizer container beside the picker, as it was before there were tokenizer pods.
Status give_tokenizer_its_files(Build& build, std::string_view deployment_name, Value& pod) {
  if (named(pod.find("containers"), "tokenizer") == nullptr) return {};
  const Value* live = build.live("Deployment", deployment_name);
  const std::string_view account = pod.string_at({"serviceAccountName"});
  return attach_model(build,
                      {.container = "tokenizer",
                       .path = "/mnt/models/base",
                       .pointer = fmt::format("{}/template", kPointer),
                       .account = {std::string(account), account == build.child("-epp-sa")},
                       .live = live == nullptr ? nullptr : get(*live, {"spec", "template", "spec"}),
                       .only_tokenizer = true},
                      pod);
}

Result<Value> deployment(Build& build) {
  Value pod = *scheduler(build).find("template");
  if (!build.settings().enable_tls) remove_tls_volume(pod);
  Value metadata = pod_metadata_of(build);
  BATON_TRY_ASSIGN(const Version version,
                   parse_version(metadata.string_at({"annotations", kVersion}))
                       .with(fmt::format("{}/annotations/app.kubernetes.io~1version", kPointer)));
  BATON_TRY_ASSIGN(const std::string_view origin, complete_main(build, version, pod));
  sign_routes(build, pod);

  const std::string name = build.child("-kserve-router-scheduler");
  BATON_TRY(give_tokenizer_its_files(build, name, pod));
  Value out = object("apps/v1", "Deployment", build.ns, name, picker_labels(build));
  out["metadata"]["annotations"][kConfigOrigin] = origin;
  Value spec;
  // Left open, as engines' are, where it is not said.
  if (const Value* replicas = get(scheduler(build), {"replicas"})) spec["replicas"] = *replicas;
  spec["selector"] = Object{{"matchLabels", picker_labels(build)}};
  spec["strategy"] = Object{{"type", "Recreate"}};
  spec["template"] = Object{{"metadata", std::move(metadata)}, {"spec", std::move(pod)}};
  out["spec"] = std::move(spec);
  return out;
}

Value service(const Build& build) {
  static constexpr std::string_view kPorts[] = {"grpc", "grpc-health", "metrics", "zmq"};
  std::string_view name = scheduler(build).string_at({"pool", "spec", "endpointPickerRef", "name"});
  const std::string fallback = build.child("-epp-service");
  if (name.empty()) name = fallback;
  Array ports;
  for (const Value& container : items(get(scheduler(build), {"template", "containers"}))) {
    for (const Value& port : items(get(container, {"ports"}))) {
      const std::string_view label = port.string_at({"name"});
      const Value* number = port.find("containerPort");
      if (std::ranges::find(kPorts, label) == std::end(kPorts) || number == nullptr) continue;
      ports.push_back(
          Object{{"name", label}, {"protocol", "TCP"}, {"port", *number}, {"targetPort", label}});
    }
  }
  std::ranges::sort(ports, {}, [](const Value& port) { return port.string_at({"name"}); });
  Value out = object("v1", "Service", build.ns, name, picker_labels(build));
  out["spec"] = Object{{"selector", picker_labels(build)}, {"ports", std::move(ports)}};
  return out;
}

void add_pools(Build& build) {
  const Value* given = get(scheduler(build), {"pool", "spec"});
  const Value spec = given == nullptr ? Value(Object()) : *given;
  Value pool = object("inference.networking.k8s.io/v1", "InferencePool", build.ns,
                      build.child("-inference-pool"), picker_labels(build));
  pool["spec"] = spec;
  build.add(std::move(pool));
  if (!build.settings().serves_x_pools) return;
  Value x_pool = object("inference.networking.x-k8s.io/v1alpha2", "InferencePool", build.ns,
                        build.child("-inference-pool"), picker_labels(build));
  x_pool["spec"] = api::pool_spec_to_x(spec);
  build.add(std::move(x_pool));
}

void warn_of_deprecated_plugin(Build& build) {
  constexpr std::string_view kOld = "precise-prefix-cache-scorer";
  if (!has_plugin(given_picker_config(build.spec(), build.picker_text), kOld)) return;
  build.out.warnings.push_back(
      {fmt::format("{}/config", kPointer),
       fmt::format("plugin {} is deprecated: use token-producer, precise-prefix-cache-producer and "
                   "prefix-cache-scorer",
                   kOld),
       "DeprecatedPlugin"});
}

}  // namespace

Value picker_labels(const Build& build) { return component_labels(build.name, kComponentName); }

Status add_picker(Build& build) {
  if (get(build.spec(), {"router", "scheduler"}) == nullptr) return {};
  if (get(scheduler(build), {"pool", "ref"}) != nullptr) return {};
  BATON_TRY(add_tokenizer(build));
  if (get(scheduler(build), {"template"}) == nullptr) return {};
  BATON_TRY(add_picker_account(build));
  BATON_TRY_ASSIGN(Value picker, deployment(build));
  build.add(std::move(picker));
  build.add(service(build));
  add_pools(build);
  warn_of_deprecated_plugin(build);
  return {};
}

}  // namespace baton::plan
