#include "net/kube/lease.hpp"

#include <fmt/format.h>

#include "base/core/assert.hpp"
#include "net/kube/object.hpp"

namespace baton::kube {

namespace {

const Object& spec_of(const Object& lease) {
  static const Object kNone;
  const auto* spec = lease.find("spec");
  return spec == nullptr ? kNone : *spec;
}

Nanos duration_of(const Object& lease, Nanos fallback) {
  const auto* seconds = lease.find_path({"spec", "leaseDurationSeconds"});
  const auto value = seconds == nullptr ? std::nullopt : seconds->if_int();
  if (!value || *value < 0 || *value > 86'400) return fallback;
  return std::chrono::seconds(*value);
}

std::int64_t transitions_of(const Object& lease) {
  const auto* count = lease.find_path({"spec", "leaseTransitions"});
  return count == nullptr ? 0 : count->if_int().value_or(0);
}

}  // namespace

Status Lease::check(const Config& config) {
  if (config.identity.empty()) return invalid("leader election: an identity must be given");
  if (config.name.empty() || config.ns.empty()) {
    return invalid("leader election: name and namespace of the lease must be given");
  }
  if (config.duration <= config.renew || config.renew * 5 <= config.retry * 6 ||
      config.retry <= Nanos(0)) {
    return invalid(fmt::format(
        "leader election: expected lease duration > renew deadline > 1.2 x retry period > 0, got "
        "{} s, {} s and {} s",
        seconds(config.duration), seconds(config.renew), seconds(config.retry)));
  }
  return {};
}

ObjectKey Lease::key() const {
  return {{"coordination.k8s.io", "v1", "Lease"}, config_.ns, config_.name};
}

std::string Lease::holder() const {
  return observed_ ? std::string(observed_->string_at({"spec", "holderIdentity"})) : "";
}

void Lease::observe(std::optional<Object> object, Mono now) {
  const bool same = observed_ && object && spec_of(*observed_) == spec_of(*object);
  if (!same) observed_at_ = now;
  observed_ = std::move(object);
  if (holder() != config_.identity) renewed_.reset();
}

std::optional<Object> Lease::claim(Mono now, Wall wall) const {
  const std::string owner = holder();
  const bool mine = owner == config_.identity;
  if (!owner.empty() && !mine && now < observed_at_ + duration_of(*observed_, config_.duration)) {
    return std::nullopt;
  }
  Object next;
  if (observed_) {
    next = *observed_;
  } else {
    next["apiVersion"] = "coordination.k8s.io/v1";
    next["kind"] = "Lease";
    next["metadata"]["name"] = config_.name;
    next["metadata"]["namespace"] = config_.ns;
  }
  auto& spec = next["spec"];
  spec["holderIdentity"] = config_.identity;
  spec["leaseDurationSeconds"] = std::chrono::ceil<std::chrono::seconds>(config_.duration).count();
  if (!mine) {
    spec["acquireTime"] = micro_timestamp(wall);
    spec["leaseTransitions"] = observed_ ? transitions_of(*observed_) + 1 : 0;
  }
  spec["renewTime"] = micro_timestamp(wall);
  return next;
}

void Lease::claimed(Object object, Mono began) {
  observed_ = std::move(object);
  observed_at_ = began;
  renewed_ = began;
}

Object Lease::release(Wall wall) const {
  BATON_ASSERT(is_holder() && observed_);
  Object next = *observed_;
  auto& spec = next["spec"];
  spec["holderIdentity"] = "";
  spec["leaseDurationSeconds"] = 1;  // 0 is not valid
  spec["acquireTime"] = micro_timestamp(wall);
  spec["renewTime"] = micro_timestamp(wall);
  return next;
}

}  // namespace baton::kube
