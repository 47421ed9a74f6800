#pragma once
// Who leads, by a coordination.k8s.io/v1 Lease: the rules, without threads or requests. Pure.
// As client-go: tools/leaderelection v0.34.4;
// https://kubernetes.io/docs/concepts/architecture/leases/
//
//             nobody's, run out,                renewed within `renew`
//             or given back                        .------.
//   waiting ---------------------> leading <-------'      |
//      ^                              |                   |
//      '------------------------------'  `renew` is over: must not write any more
//
// A holder counts from before it sent its last renewal, the others from when they saw it. So it
// stops at least duration - renew before anybody can take over, whatever the wall clocks say.

#include <optional>
#include <string>

#include "base/core/clock.hpp"
#include "net/kube/cluster.hpp"

namespace baton::kube {

class Lease {
 public:
  struct Config {
    std::string ns;
    std::string name;
    std::string identity;                       // of this process: unlike any other's
    Nanos duration = std::chrono::seconds(15);  // after which others may take it
    Nanos renew = std::chrono::seconds(10);     // after which a holder that cannot renew stops
    Nanos retry = std::chrono::seconds(2);      // between attempts
  };
  // kInvalid: no identity or name, or not duration > renew > 1.2 retry > 0.
  static Status check(const Config& config);
  // Contract: check().
  explicit Lease(Config config) : config_(std::move(config)) {}

  const Config& config() const { return config_; }
  ObjectKey key() const;

  // What the server has; nullopt: no such object.
  void observe(std::optional<Object> object, Mono now);
  // What to write now to hold the lease: a new object, or the observed one with its version.
  // nullopt: somebody else holds it.
  std::optional<Object> claim(Mono now, Wall wall) const;
  // A claim that was begun at `began` has been written and came back as `object`.
  void claimed(Object object, Mono began);
  // What gives the lease back, so that others need not wait. Contract: is_holder().
  Object release(Wall wall) const;
  void released() { renewed_.reset(); }

  // Whether the last claim was ours; it may have run out.
  bool is_holder() const { return renewed_.has_value(); }
  // Until when the holder may write: the last renewal's begin + renew.
  Mono until() const { return renewed_ ? *renewed_ + config_.renew : Mono::min(); }
  bool leads(Mono now) const { return now < until(); }
  // Forgets that it held the lease: it is over.
  void lost() { renewed_.reset(); }

  // Who holds it as far as is known; "" for nobody.
  std::string holder() const;

 private:
  const Config config_;
  std::optional<Object> observed_;
  Mono observed_at_{};  // when its spec was first seen as it is
  std::optional<Mono> renewed_;
};

}  // namespace baton::kube
