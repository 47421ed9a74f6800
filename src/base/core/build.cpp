#include "base/core/build.hpp"

namespace baton {
namespace {

Build told = {"unknown", "unknown"};

}  // namespace

Build build() { return told; }
void tell_build(Build build) { told = build; }

}  // namespace baton
