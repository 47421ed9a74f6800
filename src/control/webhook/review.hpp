#pragma once
// One request of the API server: AdmissionReview or ConversionReview in, the same out. Pure.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text/json.hpp"
#include "control/plan/plan.hpp"

namespace baton::webhook {

// An object and its predecessor, which the API server takes up to 3 MB each, with what wraps them.
inline constexpr std::size_t kMaxAdmission = std::size_t{8} << 20;
// A whole list is converted in one request; the API server reads lists in pages of 10,000.
inline constexpr std::size_t kMaxConversion = std::size_t{64} << 20;

// What is known beside the review.
struct Context {
  plan::Settings settings;
  // Deleting a well-known config in the system namespace is refused, else warned of.
  bool keep_well_known_configs = true;
  // LocalModelCaches and LocalModelNamespaceCaches of the cluster; unset when the installation does
  // not use them.
  struct LocalModels {
    std::vector<text::json::Value> of_cluster;
    std::vector<text::json::Value> of_namespaces;
  };
  std::optional<LocalModels> local_models;
};

struct Answer {
  int status = 200;      // of HTTP; other than 200 only for what is no review, or over a bound
  std::string body;      // JSON for 200, else one line of text
  bool refused = false;  // the review was answered, with a refusal
};

// `path` is one of
//   /mutate-serving-kserve-io-<version>-llminferenceservice
//   /validate-serving-kserve-io-<version>-llminferenceservice
//   /validate-serving-kserve-io-<version>-llminferenceserviceconfig
//   /convert
// with a version of v1alpha1 or v1alpha2. Reviews of v1 and v1beta1 are answered in kind.
Answer answer(std::string_view path, std::string_view body, const Context& context);

// The bound of a body sent to that path; nullopt for a path that is none.
std::optional<std::size_t> body_limit(std::string_view path);

}  // namespace baton::webhook
