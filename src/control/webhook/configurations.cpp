#include "control/webhook/configurations.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "control/plan/plan.hpp"
#include "formats/api/convert.hpp"

namespace baton::webhook {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kVersions[] = {"v1alpha1", "v1alpha2"};
constexpr int kTimeoutSeconds = 10;  // the API server's own default

// All but the dry runs by which a controller asks about merged services.
Array conditions() {
  return {Object{{"name", "not-a-merged-service-to-be-checked"},
                 {"expression", fmt::format("!(has(request.dryRun) && request.dryRun && "
                                            "has(object.metadata.generateName) && "
                                            "object.metadata.generateName.endsWith('{}'))",
                                            plan::kValidationSuffix)}}};
}

Value hook(std::string_view verb, std::string_view duty, std::string_view singular,
           std::string_view version, const Array& operations, const api::HookAddress& at) {
  const std::string path = fmt::format("/{}-serving-kserve-io-{}-{}", verb, version, singular);
  return Object{{"name", fmt::format("{}.kserve-webhook-server.{}.{}", singular, version, duty)},
                {"clientConfig", api::client_config(at, path)},
                {"rules", Array{Object{{"apiGroups", Array{api::kGroup}},
                                       {"apiVersions", Array{version}},
                                       {"operations", operations},
                                       {"resources", Array{fmt::format("{}s", singular)}},
                                       {"scope", "Namespaced"}}}},
                {"failurePolicy", "Fail"},
                {"matchPolicy", "Exact"},
                {"sideEffects", "None"},
                {"timeoutSeconds", kTimeoutSeconds},
                {"admissionReviewVersions", Array{"v1", "v1beta1"}}};
}

Value configuration(std::string_view kind, std::string_view name, Array hooks) {
  return Object{{"apiVersion", "admissionregistration.k8s.io/v1"},
                {"kind", kind},
                {"metadata", Object{{"name", name}}},
                {"webhooks", std::move(hooks)}};
}

}  // namespace

std::vector<Value> configurations(const api::HookAddress& at) {
  const Array writes{"CREATE", "UPDATE"};
  const Array all{"CREATE", "UPDATE", "DELETE"};
  Array defaulters;
  Array validators;
  Array config_validators;
  for (const std::string_view version : kVersions) {
    const auto of_services = [&](std::string_view verb, std::string_view duty) {
      Value out = hook(verb, duty, "llminferenceservice", version, writes, at);
      out["matchConditions"] = conditions();
      return out;
    };
    defaulters.push_back(of_services("mutate", "defaulter"));
    validators.push_back(of_services("validate", "validator"));
    config_validators.push_back(
        hook("validate", "validator", "llminferenceserviceconfig", version, all, at));
  }
  return {
      configuration("MutatingWebhookConfiguration", kServiceHooks, std::move(defaulters)),
      configuration("ValidatingWebhookConfiguration", kServiceHooks, std::move(validators)),
      configuration("ValidatingWebhookConfiguration", kConfigHooks, std::move(config_validators))};
}

}  // namespace baton::webhook
