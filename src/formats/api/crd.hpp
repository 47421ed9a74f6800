#pragma once
// The custom resource definitions, from the schema. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/text/json.hpp"

namespace baton::api {

// Where the API server finds our webhooks: `url` when there is one, else the Service.
struct HookAddress {
  std::string url = {};  // "https://host:port", without a path
  std::string service_namespace = "kserve";
  std::string service_name = "llmisvc-webhook-server-service";
  std::int64_t service_port = 443;
  std::string ca_bundle = {};  // base64 of PEM, as a Secret has it; empty: injected later
};

inline constexpr std::string_view kConvertPath = "/convert";

// WebhookClientConfig of apiextensions.k8s.io and admissionregistration.k8s.io.
text::json::Value client_config(const HookAddress& at, std::string_view path);

// apiextensions.k8s.io/v1 CustomResourceDefinitions of LLMInferenceService and
// LLMInferenceServiceConfig: v1alpha1 and v1alpha2 (stored), converted by our webhook. In the
// second, where any string may be a template, embedded Kubernetes specs are not held to patterns,
// lengths, words or expressions.
std::vector<text::json::Value> crds(const HookAddress& hooks);

inline constexpr std::string_view kServiceCrd = "llminferenceservices.serving.kserve.io";
inline constexpr std::string_view kConfigCrd = "llminferenceserviceconfigs.serving.kserve.io";

}  // namespace baton::api
