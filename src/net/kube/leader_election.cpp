#include "net/kube/leader_election.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/core/log.hpp"

namespace baton::kube {

Result<std::unique_ptr<LeaderElection>> LeaderElection::start(Lease::Config config,
                                                              Cluster& cluster, const Clock& clock,
                                                              Random& random, Callbacks callbacks) {
  BATON_TRY(Lease::check(config));
  return std::unique_ptr<LeaderElection>(
      new LeaderElection(std::move(config), cluster, clock, random, std::move(callbacks)));
}

LeaderElection::LeaderElection(Lease::Config config, Cluster& cluster, const Clock& clock,
                               Random& random, Callbacks callbacks)
    : cluster_(cluster),
      clock_(clock),
      random_(random),
      callbacks_(std::move(callbacks)),
      lease_(std::move(config)),
      thread_([this] { run(); }) {}

LeaderElection::~LeaderElection() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool LeaderElection::leads() const {
  const std::lock_guard lock(mutex_);
  return !stopping_ && lease_.leads(clock_.now());
}

Mono LeaderElection::until() const {
  const std::lock_guard lock(mutex_);
  return lease_.until();
}

std::string LeaderElection::holder() const {
  const std::lock_guard lock(mutex_);
  return lease_.holder();
}

Status LeaderElection::contend() {
  const Lease::Config& config = lease_.config();
  const Mono began = clock_.now();
  // A holder must know by until(); half of `renew` leaves time for a second attempt.
  Deadline deadline = Deadline::in(clock_, config.renew / 2);
  bool fresh = false;
  {
    const std::lock_guard lock(mutex_);
    if (lease_.is_holder()) deadline = deadline.earlier({lease_.until()});
    fresh = fresh_ && lease_.is_holder();
    fresh_ = false;
  }
  if (!fresh) {
    auto found = cluster_.get(lease_.key(), deadline);
    if (!found && found.error().code() != Code::kNotFound) return std::move(found).error();
    const std::lock_guard lock(mutex_);
    lease_.observe(found ? std::optional(*std::move(found)) : std::nullopt, clock_.now());
  }
  std::optional<Object> wanted;
  {
    const std::lock_guard lock(mutex_);
    wanted = lease_.claim(clock_.now(), clock_.wall());
  }
  if (!wanted) return {};
  const bool exists = wanted->find_path({"metadata", "resourceVersion"}) != nullptr;
  auto written = exists ? cluster_.update(*wanted, DryRun::kNo, deadline)
                        : cluster_.create(*wanted, DryRun::kNo, deadline);
  if (!written) return std::move(written).error();
  const std::lock_guard lock(mutex_);
  lease_.claimed(*std::move(written), began);
  fresh_ = true;
  return {};
}

void LeaderElection::stopped(const std::string& why) {
  leading_ = false;
  log::warn("leadership ended", {{"lease", lease_.config().name}, {"reason", why}});
  if (callbacks_.on_stopped) callbacks_.on_stopped(why);
}

void LeaderElection::run() {
  const std::string& identity = lease_.config().identity;
  while (true) {
    const Status done = contend();
    const Mono now = clock_.now();
    bool leads = false;
    bool conflicted = false;
    std::string other;
    {
      const std::lock_guard lock(mutex_);
      leads = lease_.leads(now);
      if (!leads) lease_.lost();
      other = lease_.holder();
      conflicted = !done && done.error().code() == Code::kConflict;
    }
    if (!done && (leading_ || !conflicted)) {
      log::warn("lease not renewed",
                {{"lease", lease_.config().name}, {"error", done.error().message()}});
    }
    if (leads && !leading_) {
      leading_ = true;
      log::info("leading", {{"lease", lease_.config().name}, {"identity", identity}});
      if (callbacks_.on_started) callbacks_.on_started();
    } else if (!leads && leading_) {
      stopped(
          done ? fmt::format("'{}' holds the lease", other)
               : fmt::format("the lease could not be renewed in time: {}", done.error().message()));
    }
    std::unique_lock lock(mutex_);
    // A leader that met a conflict reads the lease at once: it may be somebody else's by now.
    const Nanos rest = conflicted && leads ? Nanos(0) : pause();
    const Mono until = leads ? std::min(clock_.now() + rest, lease_.until()) : clock_.now() + rest;
    wake_.wait_until(lock, until, [this] { return stopping_; });
    if (stopping_) break;
  }
  if (leading_) stopped("this process stops");  // first, so that nobody writes beside the next one
  give_back();
}

Nanos LeaderElection::pause() {
  const Nanos retry = lease_.config().retry;
  if (lease_.is_holder()) return retry;
  // Contenders that started together do not stay together.
  return retry + Nanos(static_cast<std::int64_t>(static_cast<double>(retry.count()) * 0.2 *
                                                 random_.unit()));
}

void LeaderElection::give_back() {
  std::optional<Object> wanted;
  {
    const std::lock_guard lock(mutex_);
    if (!lease_.leads(clock_.now())) return;
    wanted = lease_.release(clock_.wall());
    lease_.released();
  }
  const auto done =
      cluster_.update(*wanted, DryRun::kNo, Deadline::in(clock_, lease_.config().retry));
  if (!done) log::warn("lease not given back", {{"error", done.error().message()}});
}

}  // namespace baton::kube
