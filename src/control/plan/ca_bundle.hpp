#pragma once
// The ConfigMap of a namespace that holds the certificate authorities which its initializers trust.

#include <string_view>

namespace baton::plan {

inline constexpr std::string_view kCaBundleCopy = "global-ca-bundle";

}  // namespace baton::plan
