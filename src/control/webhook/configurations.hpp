#pragma once
// Which requests the API server sends us, as objects of admissionregistration.k8s.io/v1. Names and
// paths are the KServe controller's, so that an installation replaces its own. Pure.

#include <string_view>
#include <vector>

#include "base/text/json.hpp"
#include "formats/api/crd.hpp"

namespace baton::webhook {

inline constexpr std::string_view kServiceHooks = "llminferenceservice.serving.kserve.io";
inline constexpr std::string_view kConfigHooks = "llminferenceserviceconfig.serving.kserve.io";

// One MutatingWebhookConfiguration (kServiceHooks) and two ValidatingWebhookConfigurations
// (kServiceHooks, kConfigHooks): one webhook per version, matched exactly, failing closed.
std::vector<text::json::Value> configurations(const api::HookAddress& hooks);

}  // namespace baton::webhook
