#include "control/reconcile/image_volumes.hpp"

#include <fmt/format.h>

#include "base/core/log.hpp"
#include "control/reconcile/conditions.hpp"

namespace baton::reconcile {

namespace {
constexpr Nanos kKeep = std::chrono::minutes(10);
}  // namespace

std::optional<kube::Condition> image_volume_problem(kube::ServerVersion server) {
  const auto problem = [&](std::string_view reason, std::string_view why) {
    return part(kImageVolumeCondition, reason,
                fmt::format("Kubernetes {}.{} {}", server.major, server.minor, why));
  };
  if (server >= kube::ServerVersion{1, 35}) return std::nullopt;
  if (server < kube::ServerVersion{1, 31}) {
    return problem("ImageVolumeUnsupported", "has no image volumes; 1.35 has them");
  }
  if (server < kube::ServerVersion{1, 33}) {
    return problem("ImageVolumeSubPathUnsupported",
                   "mounts image volumes without subPath, and only with the feature gate "
                   "ImageVolume");
  }
  return problem("ImageVolumeAlpha",
                 "mounts image volumes only where the feature gate ImageVolume is on");
}

std::optional<kube::ServerVersion> VersionReader::read(Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (clock_.now() < ask_again_) return known_;
  }
  const auto told = cluster_.server_version(deadline);
  if (!told) {
    log::warn("the API server does not tell its version", {{"error", told.error().message()}});
  }
  const std::lock_guard lock(mutex_);
  if (told) known_ = *told;
  ask_again_ = clock_.now() + (told ? kKeep : kAskVersionAgain);
  return known_;
}

}  // namespace baton::reconcile
