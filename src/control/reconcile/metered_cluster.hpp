#pragma once
// A Cluster whose requests are counted, and whose writes can be stopped for good: nothing is
// written any more once another controller leads.

#include <atomic>
#include <functional>

#include "base/observe/metrics.hpp"
#include "net/kube/cluster.hpp"

namespace baton::reconcile {

// Thread-safe. Metric baton_controller_requests_total{verb, result}, where verb tells dry runs
// and events apart, and result is "ok" or the error's code.
class MeteredCluster final : public kube::Cluster {
 public:
  MeteredCluster(kube::Cluster& inner, observe::Registry& registry)
      : inner_(inner), registry_(registry) {}

  // From now on every write is kCancelled; reads go on. Writes under way end as they end.
  void stop_writing() { writing_ = false; }
  // No write is begun, or waited for, after `until()`. Before any other thread uses the cluster.
  void fence(std::function<Mono()> until, const Clock& clock) {
    until_ = std::move(until);
    clock_ = &clock;
  }

  Result<kube::Object> get(const kube::ObjectKey& key, Deadline deadline) override;
  Result<kube::List> list(const kube::Query& query, Deadline deadline) override;
  Result<kube::Object> create(const kube::Object& object, kube::DryRun dry_run,
                              Deadline deadline) override;
  Result<kube::Object> update(const kube::Object& object, kube::DryRun dry_run,
                              Deadline deadline) override;
  Result<kube::Object> update_status(const kube::Object& object, Deadline deadline) override;
  Result<kube::Object> patch(const kube::ObjectKey& key, const kube::Object& merge_patch,
                             kube::DryRun dry_run, Deadline deadline) override;
  Result<kube::Object> create_subresource(const kube::ObjectKey& key, std::string_view subresource,
                                          const kube::Object& body, Deadline deadline) override;
  Result<kube::Object> apply(const kube::Object& object, const kube::ApplyAs& as,
                             Deadline deadline) override;
  Status remove(const kube::ObjectKey& key, const kube::Removal& how, Deadline deadline) override;
  Result<kube::ServerVersion> server_version(Deadline deadline) override;
  Result<std::unique_ptr<kube::Watch>> watch(const kube::Query& query, const kube::Version& from,
                                             Deadline deadline) override;

 private:
  template <class R>
  R counted(std::string_view verb, R result);
  // The deadline of a write; kCancelled after stop_writing() or beyond the fence.
  Result<Deadline> write_by(Deadline deadline) const;

  kube::Cluster& inner_;
  observe::Registry& registry_;
  std::atomic<bool> writing_ = true;
  std::function<Mono()> until_;
  const Clock* clock_ = nullptr;
};

}  // namespace baton::reconcile
