#include "control/plan/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "control/plan/build.hpp"
#include "control/plan/ca_bundle.hpp"
#include "control/plan/combine.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/picker.hpp"
#include "formats/api/convert.hpp"
#include "formats/api/validate.hpp"

namespace baton::plan {
namespace {

Wish tls_secret(const Build& build) {
  const auto both = [&](std::vector<std::string>& to, std::string_view service) {
    to.push_back(fmt::format("{}.{}.svc", service, build.ns));
    to.push_back(fmt::format("{}.{}.svc.{}", service, build.ns, build.settings().cluster_domain));
  };
  Wish wish{Wish::Kind::kTlsSecret, build.ns, build.child("-kserve-self-signed-certs"), {}, {}};
  wish.dns_names.emplace_back("localhost");
  both(wish.dns_names, build.child("-kserve-workload-svc"));
  const std::string_view picker =
      build.spec().string_at({"router", "scheduler", "pool", "spec", "endpointPickerRef", "name"});
  if (!picker.empty()) both(wish.dns_names, picker);
  if (!tokenizer_url(build).empty()) both(wish.dns_names, build.child("-tokenizer"));
  wish.addresses.emplace_back("127.0.0.1");
  return wish;
}

// Initializers outside the system namespace cannot mount its ConfigMap.
void wish_for_ca_bundle(Build& build) {
  const std::string& source = build.settings().storage.ca_bundle_config_map;
  if (source.empty() || build.ns == build.settings().system_namespace) return;
  build.out.wishes.push_back({.kind = Wish::Kind::kCaBundle,
                              .ns = build.ns,
                              .name = std::string(kCaBundleCopy),
                              .dns_names = {},
                              .addresses = {},
                              .source = source});
}

// In the order in which upstream reconciles them.
Status add_children(Build& build, Stage& stage) {
  build.revision = kv_revision(build);
  wish_for_ca_bundle(build);
  if (build.settings().enable_tls) build.out.wishes.push_back(tls_secret(build));
  stage = Stage::kMultiNode;
  BATON_TRY(add_multi_node(build));
  stage = Stage::kSingleNode;
  BATON_TRY(add_single_node(build));
  stage = Stage::kWorkloadService;
  add_workload_service(build);
  stage = Stage::kScaling;
  BATON_TRY(add_scaling(build));
  stage = Stage::kScheduler;
  BATON_TRY(add_picker(build));
  stage = Stage::kRoute;
  return add_route(build);
}

Status refuse(const api::Findings& findings) {
  if (findings.errors.empty()) return {};
  return invalid(api::to_string(findings.errors));
}

// `stage` is always the one that is under way.
Status fill(const ServiceView& observed, Plan& out, Stage& stage) {
  out.merged = observed.service;
  BATON_TRY_ASSIGN(Value service, api::to_v1alpha2(observed.service));
  BATON_TRY(refuse(api::check_identity(service)));
  BATON_TRY(flatten_pool_targets(service, out.warnings));
  api::set_defaults(service);
  out.merged = service;
  const api::Findings written = api::validate(service, api::Completeness::kPartial);
  BATON_TRY(refuse(written));
  for (const api::Finding& warning : written.warnings) {
    out.warnings.push_back({warning.pointer, warning.message});
  }
  BATON_TRY_ASSIGN(Combined combined, combine(std::move(service), observed, stage));
  out.merged = std::move(combined.service);
  out.applied_configs = std::move(combined.applied);
  out.pins = std::move(combined.pins);
  std::ranges::move(combined.warnings, std::back_inserter(out.warnings));
  stage = Stage::kCheckMerged;
  BATON_TRY(
      refuse(api::validate(out.merged, api::Completeness::kWhole))
          .with(fmt::format("after merging configs [{}]", fmt::join(out.applied_configs, ", "))));
  if (is_stopped(out.merged)) return {};
  Build build{.observed = observed,
              .service = out.merged,
              .picker_text = std::move(combined.picker_text),
              .name = name_of(out.merged),
              .ns = namespace_of(out.merged),
              .out = out};
  BATON_TRY(add_children(build, stage));
  warn_of_useless_fields(build);
  return {};
}

}  // namespace

bool is_stopped(const Value& service) {
  return equals_ignoring_case(
      service.string_at({"metadata", "annotations", "serving.kserve.io/stop"}), "true");
}

bool asks_for_probe(const Value& service) {
  return equals_ignoring_case(service.string_at({"metadata", "annotations", kProbeAnnotation}),
                              "true");
}

std::string_view reason(Stage stage) {
  switch (stage) {
    case Stage::kService:
    case Stage::kCombine:
      break;
    case Stage::kFindConfigs:
      return "ConfigNotFound";
    case Stage::kCheckMerged:
      return "InvalidRenderedConfig";
    case Stage::kMultiNode:
      return "ReconcileMultiNodeWorkloadError";
    case Stage::kSingleNode:
      return "ReconcileSingleNodeWorkloadError";
    case Stage::kWorkloadService:
      return "ReconcileWorkloadServiceError";
    case Stage::kScaling:
      return "ReconcileScalingError";
    case Stage::kScheduler:
      return "SchedulerReconcileError";
    case Stage::kRoute:
      return "HTTPRouteReconcileError";
  }
  return "CombineBaseError";
}

Attempt attempt(const ServiceView& observed) {
  Attempt out;
  Stage stage = Stage::kService;
  if (const Status done = fill(observed, out.plan, stage); !done) {
    out.failure = Failure{stage, done.error()};
  }
  return out;
}

Result<Plan> plan(const ServiceView& observed) {
  Attempt done = attempt(observed);
  if (done.failure) return std::move(done.failure->error);
  return std::move(done.plan);
}

}  // namespace baton::plan
