#pragma once
// Of which kinds a plan looks at the objects that are there, to keep what others decided. Whoever
// fills ServiceView::children may leave out the rest.

#include <string_view>

namespace baton::plan {

constexpr bool reads_live(std::string_view kind) {
  return kind == "Deployment" || kind == "LeaderWorkerSet" || kind == "ScaledObject" ||
         kind == "HTTPRoute";
}

}  // namespace baton::plan
