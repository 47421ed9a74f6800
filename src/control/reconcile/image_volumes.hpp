#pragma once
// Whether a cluster can mount images as volumes, which is how models of oci:// come natively:
// condition OciImageVolumeCompatible. It advises and is no part of Ready. Controller reference 5.5.

#include <mutex>
#include <optional>

#include "net/kube/cluster.hpp"
#include "net/kube/object.hpp"

namespace baton::reconcile {

inline constexpr std::string_view kImageVolumeCondition = "OciImageVolumeCompatible";

// nullopt: it can. The feature gate ImageVolume came with 1.31 (alpha), subPath with 1.33 (beta,
// off), both are on from 1.35 (Kubernetes documentation, Use an Image Volume With a Pod). Pure.
std::optional<kube::Condition> image_volume_problem(kube::ServerVersion server);

inline constexpr Nanos kAskVersionAgain = std::chrono::minutes(1);  // after it was not told

// The server's version, asked for at most every ten minutes. Thread-safe.
class VersionReader {
 public:
  VersionReader(kube::Cluster& cluster, const Clock& clock) : cluster_(cluster), clock_(clock) {}
  // The last one told, while the server tells none; nullopt: it never did.
  std::optional<kube::ServerVersion> read(Deadline deadline);

 private:
  kube::Cluster& cluster_;
  const Clock& clock_;
  std::mutex mutex_;  // guards the rest; not held while it asks
  std::optional<kube::ServerVersion> known_;
  Mono ask_again_{};
};

}  // namespace baton::reconcile
