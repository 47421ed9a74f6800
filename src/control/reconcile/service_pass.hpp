#pragma once
// One look at one LLMInferenceService: observe, plan, apply, write the status.

#include <string>
#include <vector>

#include "base/core/random.hpp"
#include "control/reconcile/apply.hpp"
#include "control/reconcile/deeds.hpp"
#include "control/reconcile/finalizers.hpp"
#include "control/reconcile/image_volumes.hpp"
#include "control/reconcile/memory.hpp"
#include "control/reconcile/observe.hpp"
#include "control/reconcile/prober.hpp"
#include "control/reconcile/recorder.hpp"
#include "control/reconcile/service_status.hpp"
#include "control/reconcile/tls_secret.hpp"

namespace baton::reconcile {

class ServicePass {
 public:
  struct Deps {
    kube::Cluster& cluster;
    const kube::Cache& cache;
    const Clock& clock;
    Recorder& recorder;
    Ledger& ledger;
    ConfigMapReader& config_maps;
    SecretKeeper& secrets;
    VersionReader& versions;
    Random& random;  // keys come from it: unguessable
    Prober* prober;  // null: nothing is probed
    DetailPause detail_pause;
    Mono last_report;  // Reports::last
  };
  ServicePass(const Deps& deps, const Installation& base, Remembered& memory, Deadline deadline)
      : deps_(deps), base_(base), memory_(memory), deadline_(deadline) {}

  // When to look again even if nothing changes; nullopt: not before something does.
  // An error: look again, later each time.
  Result<std::optional<Nanos>> run(const kube::SnapshotPtr& service);

 private:
  struct Judgement {
    kube::Condition condition;   // PresetsCombined
    std::optional<Error> retry;  // to be repeated
    bool combined = false;
  };

  Result<std::optional<Nanos>> finalize(const kube::Object& service);
  Status change_finalizer(const kube::Object& service, Finalizer what);
  Judgement judge(const plan::Attempt& attempt, bool stopped);
  std::optional<Error> validate(const plan::Plan& plan);
  std::optional<StepFailure> apply(const Observation& seen, const plan::Attempt& attempt,
                                   bool stopped);
  std::optional<StepFailure> remove_unplanned(Applier& applier, const Observation& seen,
                                              const plan::Plan& plan, Step limit);
  Status fulfil(Applier& applier, const Observation& seen, const plan::Wish& wish);
  std::optional<kube::Condition> image_volumes(const plan::Plan& plan);
  std::optional<kube::Condition> transfer(const Observation& seen, const RouterView& router,
                                          const std::vector<Address>& addresses);
  RouterView router_view(const Observation& seen, const kube::Object& merged) const;
  Status write_status(const kube::Object& service, const Outcome& outcome);
  void tell(const kube::Object& before, const kube::Object& after, const Outcome& outcome);
  void tell_warnings(const kube::Object& service, const plan::Plan& plan);
  void remember(const std::vector<kube::Expectation>& expectations);
  Tell teller();

  const Deps& deps_;
  const Installation& base_;
  Remembered& memory_;
  const Deadline deadline_;
  Deeds deeds_;
  std::vector<kube::SnapshotPtr> live_;  // children as applied
  std::optional<Nanos> again_;
};

}  // namespace baton::reconcile
