#pragma once
// What an installation decides: the ConfigMap inferenceservice-config, on top of environment and
// flags. Pure. Controller reference 2.1.

#include <string>
#include <vector>

#include "control/plan/plan.hpp"
#include "net/kube/cluster.hpp"

namespace baton::reconcile {

inline constexpr std::string_view kInstallationConfigMap = "inferenceservice-config";

struct Installation {
  plan::Settings plan;
  std::string url_scheme;  // the one wanted where there are several: "http", "https"
  std::string wildcard_label = "inference";  // what "*" of a gateway's host name becomes
  // When a certificate is due for renewal: the first key is written, any is read.
  std::vector<std::string> expiration_annotations = {"certificates.kserve.io/expiration"};
};

// `base` with what the ConfigMap says; other programs' keys are passed over.
// kInvalid: inferenceservice-config: <key>: what is wrong with it.
Result<Installation> read_installation(const kube::Object& config_map, Installation base);

}  // namespace baton::reconcile
