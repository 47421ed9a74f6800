#include "net/kube/discovery.hpp"

#include <fmt/format.h>

#include "net/kube/api_status.hpp"

namespace baton::kube {

Result<Resource> Discovery::find(const Type& type, Deadline deadline) {
  const std::string where = group_version_path(type);
  const auto absent = [&] {
    return not_found(fmt::format("the API server has no kind {} in {} (is its CRD installed?)",
                                 type.kind, type.api_version()));
  };
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = known_.find(where); known != known_.end()) {
      const auto found = known->second.resources.find(type.kind);
      if (found != known->second.resources.end()) return found->second;
      if (clock_.now() - known->second.asked < kAbsentKind) return absent();
    }
  }
  BATON_TRY_ASSIGN(Resources resources, ask(type, deadline));
  const std::lock_guard lock(mutex_);
  auto& known = known_[where];
  known = {std::move(resources), clock_.now()};
  const auto found = known.resources.find(type.kind);
  if (found == known.resources.end()) return absent();
  return found->second;
}

Result<Resources> Discovery::ask(const Type& type, Deadline deadline) {
  const auto doing = fmt::format("discovery of {}", type.api_version());
  BATON_TRY_ASSIGN(const auto answer,
                   api_.send({.target = group_version_path(type)}, deadline).with(doing));
  if (answer.head.status == 404) return Resources();
  if (answer.head.status != 200) return api_error(answer.head.status, answer.body, doing);
  auto resources = parse_resources(answer.body);
  if (!resources) return unavailable(resources.error().message()).with(doing);
  return resources;
}

void Discovery::forget(const Type& type) {
  const std::lock_guard lock(mutex_);
  known_.erase(group_version_path(type));
}

}  // namespace baton::kube
