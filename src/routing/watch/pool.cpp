#include "routing/watch/pool.hpp"

#include <algorithm>

#include "base/core/assert.hpp"

namespace baton::watch {
namespace {

using schedule::Endpoint;

bool same(const Endpoint& a, const Endpoint& b) {
  return a.ns == b.ns && a.name == b.name && a.host == b.host && a.port == b.port;
}

// Which slots endpoints hold.
class SlotSet {
 public:
  explicit SlotSet(const std::vector<Endpoint>& endpoints) : held_(schedule::kMaxEndpoints) {
    for (const auto& endpoint : endpoints) held_[endpoint.slot] = true;
  }
  bool holds(schedule::Slot slot) const { return held_[slot]; }
  void add(schedule::Slot slot) { held_[slot] = true; }

 private:
  std::vector<bool> held_;
};

// Neither held by an old endpoint nor by a new one, and without requests on their way.
schedule::Slot free_slot(const SlotSet& taken, const SlotSet& old,
                         const schedule::Reservations& reservations) {
  std::optional<schedule::Slot> fallback;
  for (schedule::Slot slot = 0; slot < schedule::kMaxEndpoints; ++slot) {
    if (taken.holds(slot)) continue;
    if (!fallback) fallback = slot;
    if (!old.holds(slot) && reservations.count(slot) == 0) return slot;
  }
  BATON_ASSERT(fallback);  // update() bounds the endpoints
  return *fallback;
}

}  // namespace

Pool::Pool() {
  snapshot_.set_endpoints(std::make_shared<const std::vector<Endpoint>>());
  snapshot_.reservations = std::make_shared<schedule::Reservations>();
}

Pool::Change Pool::update(const std::vector<Endpoint>& ready) {
  Change change;
  auto next = std::make_shared<std::vector<Endpoint>>();
  std::vector<schedule::Load> loads;
  const auto& old = *snapshot_.endpoints;
  std::vector<Endpoint> fresh;
  for (const auto& endpoint : ready) {
    const auto it = std::ranges::find_if(old, [&](const Endpoint& e) { return same(e, endpoint); });
    if (it == old.end()) {
      fresh.push_back(endpoint);
      continue;
    }
    next->push_back(endpoint);
    next->back().slot = it->slot;
    loads.push_back(snapshot_.loads[static_cast<std::size_t>(it - old.begin())]);
  }
  SlotSet taken(*next);
  const SlotSet before(old);
  for (auto& endpoint : fresh) {
    if (next->size() == schedule::kMaxEndpoints) {
      ++change.over_limit;
      continue;
    }
    endpoint.slot = free_slot(taken, before, *snapshot_.reservations);
    taken.add(endpoint.slot);
    change.added.push_back(endpoint);
    next->push_back(endpoint);
    loads.emplace_back();
  }
  for (const auto& endpoint : old) {
    const auto stays = [&](const Endpoint& e) { return same(e, endpoint); };
    if (std::ranges::none_of(*next, stays)) change.removed.push_back(endpoint);
  }
  snapshot_.set_endpoints(std::move(next));
  snapshot_.loads = std::move(loads);
  return change;
}

void Pool::serves(schedule::Slot slot, std::vector<std::string> models) {
  const auto& endpoints = *snapshot_.endpoints;
  const auto it = std::ranges::find(endpoints, slot, &Endpoint::slot);
  if (it == endpoints.end()) return;
  snapshot_.loads[static_cast<std::size_t>(it - endpoints.begin())].models =
      std::make_shared<const std::vector<std::string>>(std::move(models));
}

void Pool::loaded(schedule::Slot slot, const Scraped& scraped, Mono now) {
  const auto& endpoints = *snapshot_.endpoints;
  const auto it = std::ranges::find(endpoints, slot, &Endpoint::slot);
  if (it == endpoints.end() || !scraped.any()) return;
  auto& load = snapshot_.loads[static_cast<std::size_t>(it - endpoints.begin())];
  load.waiting = scraped.waiting.value_or(load.waiting);
  load.running = scraped.running.value_or(load.running);
  load.kv_usage = std::clamp(scraped.kv_usage.value_or(load.kv_usage), 0.0F, 1.0F);
  load.adapters = scraped.adapters;
  load.attributes = scraped.attributes;
  load.updated = now;
}

}  // namespace baton::watch
