#pragma once
// Failures as an API server reports them: an HTTP status and a metav1.Status. Pure.
// Reasons: https://github.com/kubernetes/apimachinery/blob/v0.34.4/pkg/apis/meta/v1/types.go

#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::kube {

// The error of a response with that status and body; `doing` comes first in the message
// ("update of apps/v1 Deployment llm/x"). The body may be anything.
//
//   kNotFound     the object, its namespace or its kind (a missing CRD) does not exist
//   kUnsupported  the resource does not know that verb
//   kConflict     version or field manager conflict; the name exists; "expired" (410)
//   kInvalid      400, 413, 415, 422: with every cause and its field
//   kDenied       401, 403
//   kExhausted    429
//   kTimeout      408, 504
//   kUnavailable  other 5xx
Error api_error(int http_status, std::string_view body, std::string_view doing);

// The same for the Status in an ERROR event of a watch.
Error api_error(const text::json::Value& status, std::string_view doing);

// Whether a 404 is about the kind, not about an object or a namespace.
bool is_unknown_resource(int http_status, std::string_view body);

// "expired": what a 410 says, so that callers list again.
Error expired(std::string_view doing);

}  // namespace baton::kube
