#pragma once
// The self-signed certificate of a service's pods, kept in a Secret. Controller reference 4.12.

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "control/reconcile/apply.hpp"
#include "control/reconcile/installation.hpp"

namespace baton::reconcile {

struct CertificateNames {
  std::vector<std::string> dns, ips;
};

// The wish's names with those of `pods` (not the picker's) and the cluster addresses of `services`.
// What is no address (a pending pod, a headless Service) is left out. Sorted. Pure.
CertificateNames certificate_names(const plan::Wish& wish,
                                   const std::vector<kube::SnapshotPtr>& pods,
                                   const std::vector<kube::SnapshotPtr>& services);

// Why the Secret's certificate must be made anew; "" when it need not. Pure.
std::string renewal_reason(const kube::Object& secret, const CertificateNames& names,
                           const std::vector<std::string>& expiration_annotations, Wall now);

// When the certificate of that Secret will be due; Wall::max() when it does not say.
Wall renewal_time(const kube::Object& secret,
                  const std::vector<std::string>& expiration_annotations);

// Reads each Secret once per version. Thread-safe.
class SecretKeeper {
 public:
  SecretKeeper(kube::Cluster& cluster, const Clock& clock) : cluster_(cluster), clock_(clock) {}

  // Makes the Secret of the wish, or a new certificate in it, where that is due; returns when it
  // will be. `frame` is the Secret without data: labels and owner. kConflict: it is another's.
  Result<Wall> keep(Applier& applier, const kube::Object& frame, const CertificateNames& names,
                    const kube::SnapshotPtr& cached,
                    const std::vector<std::string>& expiration_annotations, Deadline deadline);
  // It is gone.
  void forget(const kube::ObjectKey& key) {
    const std::lock_guard lock(mutex_);
    good_.erase(key);
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return good_.size();
  }

 private:
  struct Good {
    std::uint64_t content = 0;
    CertificateNames names;  // that it is known to cover
    Wall due;
  };
  // The Secret as it is on the server, or a new one in its place.
  Result<kube::SnapshotPtr> current(Applier& applier, const kube::Object& frame,
                                    const CertificateNames& names,
                                    const std::vector<std::string>& expiration_annotations,
                                    Deadline deadline);
  Result<kube::Object> make(const kube::Object& frame, const CertificateNames& names,
                            const std::vector<std::string>& expiration_annotations) const;

  kube::Cluster& cluster_;
  const Clock& clock_;
  mutable std::mutex mutex_;  // guards good_
  std::map<kube::ObjectKey, Good> good_;
};

}  // namespace baton::reconcile
