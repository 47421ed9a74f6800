#include "net/kube/modify.hpp"

namespace baton::kube {

Result<Object> modify(Cluster& cluster, const ObjectKey& key, Part part,
                      const std::function<Status(Object&)>& change, Deadline deadline) {
  for (int tries = 1;; ++tries) {
    BATON_TRY_ASSIGN(const Object before, cluster.get(key, deadline));
    Object after = before;
    BATON_TRY(change(after));
    if (after == before) return before;
    auto written = part == Part::kStatus ? cluster.update_status(after, deadline)
                                         : cluster.update(after, DryRun::kNo, deadline);
    const bool again =
        !written && written.error().code() == Code::kConflict && tries < kConflictRetries;
    if (!again) return written;
  }
}

}  // namespace baton::kube
