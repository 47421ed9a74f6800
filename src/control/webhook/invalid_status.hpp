#pragma once
// Findings as the API server tells its own: metav1.Status 422 with a cause for each field. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/text/json.hpp"
#include "formats/api/finding.hpp"

namespace baton::webhook {

// More would fill the terminal, and the API server bounds messages.
inline constexpr std::size_t kMostCauses = 64;
inline constexpr std::size_t kMostWarnings = 32;
inline constexpr std::size_t kLongestWarning = 256;  // of one, as apiserver asks for

// `object` is what the pointers lead into.
text::json::Value invalid_status(const text::json::Value& object,
                                 const std::vector<api::Finding>& errors);
// Another refusal: reason "Forbidden" with 403, "BadRequest" with 400.
text::json::Value refused_status(int code, std::string_view reason, std::string_view message);

// "spec.a: message", bounded.
text::json::Array warnings(const std::vector<api::Finding>& findings);

}  // namespace baton::webhook
