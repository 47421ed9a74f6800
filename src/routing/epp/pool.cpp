#include "routing/epp/pool.hpp"

#include <algorithm>

namespace baton::epp {
namespace {

std::string_view address_of(std::string_view endpoint) {
  const auto colon = endpoint.rfind(':');
  auto host = endpoint.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace

watch::Pool::Change SharedPool::update(const std::vector<schedule::Endpoint>& endpoints) {
  const std::lock_guard lock(mutex_);
  watch::Service service = pool_.service();
  service.endpoints = endpoints;
  auto change = pool_.update(service);
  synced_ = true;
  return change;
}

void SharedPool::follow(pick::PrecisePrefix& precise) {
  const std::lock_guard lock(mutex_);
  precise_ = &precise;
  pool_.follow(precise);
}

watch::Pool::Change SharedPool::clear() {
  auto change = update({});
  synced_ = false;
  return change;
}

Result<pick::ServicePool::Picked> SharedPool::pick(pick::ServicePool::Ask ask, const Subset* subset,
                                                   Mono now, Random& random) {
  const std::lock_guard lock(mutex_);
  const auto& endpoints = pool_.endpoints();
  if (subset != nullptr) {
    among_.clear();
    for (schedule::Index i = 0; i < endpoints.size(); ++i) {
      const auto wanted = [&](const std::string& hint) {
        return address_of(hint) == endpoints[i].host;
      };
      if (std::ranges::any_of(*subset, wanted)) among_.push_back(i);
    }
    ask.among = &among_;
  }
  if (endpoints.empty() || (subset != nullptr && among_.empty())) {
    return not_found("no endpoint is a candidate");
  }
  return pool_.pick(ask, now, random);
}

pick::ServicePool::Survey SharedPool::survey(const pick::ServicePool::Ask& ask) {
  const std::lock_guard lock(mutex_);
  return pool_.survey(ask);
}

bool SharedPool::admits(const pick::ServicePool::Ask& ask, const schedule::Slo& slo) {
  const std::lock_guard lock(mutex_);
  return pool_.admits(ask, slo);
}

void SharedPool::remember(const schedule::Endpoint& endpoint, std::span<const std::uint64_t> chain,
                          std::size_t first, const schedule::Endpoint* other) {
  const std::lock_guard lock(mutex_);
  pool_.remember(endpoint, chain, first, other);
}

void SharedPool::loaded(const schedule::Endpoint& endpoint, const watch::Scraped& scraped,
                        Mono now) {
  const std::lock_guard lock(mutex_);
  pool_.loaded(endpoint, scraped, now);
}

void SharedPool::serves(const schedule::Endpoint& endpoint, std::vector<std::string> models) {
  const std::lock_guard lock(mutex_);
  pool_.serves(endpoint, std::move(models));
}

std::vector<std::size_t> SharedPool::remembered() const {
  const std::lock_guard lock(mutex_);
  return pool_.remembered();
}

schedule::Saturation SharedPool::saturation(Mono now) const {
  if (pool_.broken()) return {};
  const std::lock_guard lock(mutex_);
  return schedule::measure(pool_.setup().detector, pool_.snapshot(), now);
}

bool SharedPool::admits(std::int32_t priority, Mono now, Random& random) const {
  if (pool_.setup().admitters.empty()) return true;
  const std::lock_guard lock(mutex_);
  if (pool_.endpoints().empty()) return true;  // the pick says so
  return std::ranges::all_of(pool_.setup().admitters, [&](const auto& admitter) {
    return schedule::admits(admitter, priority, pool_.snapshot(), now, random);
  });
}

schedule::Snapshot SharedPool::snapshot() const {
  const std::lock_guard lock(mutex_);
  return pool_.snapshot();
}

}  // namespace baton::epp
