#include "control/plan/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <utility>

#include "control/plan/build.hpp"
#include "control/plan/combine.hpp"
#include "control/plan/objects.hpp"
#include "formats/api/convert.hpp"
#include "formats/api/validate.hpp"

namespace baton::plan {
namespace {

bool is_stopped(const Value& service) {
  const std::string_view text =
      service.string_at({"metadata", "annotations", "serving.kserve.io/stop"});
  return std::ranges::equal(text, std::string_view("true"), {}, [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
}

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
  wish.addresses.emplace_back("127.0.0.1");
  return wish;
}

Status add_children(Build& build) {
  if (build.settings().enable_tls) build.out.wishes.push_back(tls_secret(build));
  BATON_TRY(add_multi_node(build));
  BATON_TRY(add_single_node(build));
  add_workload_service(build);
  add_picker(build);
  add_route(build);
  return {};
}

Status refuse(const api::Findings& findings) {
  if (findings.errors.empty()) return {};
  return invalid(api::to_string(findings.errors));
}

}  // namespace

Result<Plan> plan(const ServiceView& observed) {
  BATON_TRY_ASSIGN(Value service, api::to_v1alpha2(observed.service));
  BATON_TRY(refuse(api::check_identity(service)));
  api::set_defaults(service);
  const api::Findings written = api::validate(service, api::Completeness::kPartial);
  BATON_TRY(refuse(written));
  BATON_TRY_ASSIGN(Combined combined, combine(std::move(service), observed));
  const std::string applied = fmt::format("{}", fmt::join(combined.applied, ", "));
  BATON_TRY(refuse(api::validate(combined.service, api::Completeness::kWhole))
                .with(fmt::format("after merging [{}]", applied)));

  Plan out;
  out.applied_configs = std::move(combined.applied);
  for (const api::Finding& warning : written.warnings) {
    out.warnings.push_back({warning.pointer, warning.message});
  }
  std::ranges::move(combined.warnings, std::back_inserter(out.warnings));
  Build build{.observed = observed,
              .service = combined.service,
              .picker_text = std::move(combined.picker_text),
              .name = name_of(combined.service),
              .ns = namespace_of(combined.service),
              .out = out};
  if (!is_stopped(combined.service)) {
    BATON_TRY(add_children(build));
    warn_of_useless_fields(build);
  }
  out.merged = std::move(combined.service);
  return out;
}

}  // namespace baton::plan
