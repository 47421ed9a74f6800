#include "routing/schedule/flow/flow_control.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "routing/schedule/flow/ceilings.hpp"

namespace baton::schedule {
namespace {

constexpr Nanos kBandIdle = std::chrono::minutes(10);
// Flows of one band; requests of further ones share the flow without a name.
constexpr std::size_t kMaxFlows = 65536;
constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max();

std::int64_t later(Mono base, Nanos by) {
  const auto start = base.time_since_epoch().count();
  return by.count() > kLast - start ? kLast : start + by.count();
}

}  // namespace

Answer answer(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDispatched:
      return {200, "", ""};
    case Outcome::kRejectedCapacity:
      return {429, "rejected-saturated", "request rejected pre-queue: queue at capacity"};
    case Outcome::kRejectedNoEndpoints:
      return {503, "rejected-no-endpoints",
              "request rejected pre-queue: no endpoint serves the pool"};
    case Outcome::kExpired:
      return {429, "rejected-ttl-expired", "request timed out in queue: the pool stayed full"};
    case Outcome::kExpiredNoEndpoints:
      return {503, "rejected-no-endpoints", "request timed out in queue: no endpoint came"};
    case Outcome::kCancelled:
      return {503, "rejected-context-cancelled", "the client left"};
    case Outcome::kShuttingDown:
      return {503, "rejected-shutting-down", "the picker is shutting down"};
  }
  return {500, "", ""};
}

FlowControl::FlowControl(FlowConfig config, Mono now) : config_(std::move(config)), flipped_(now) {
  for (const auto& band : config_.bands) {
    auto& made = bands_[band.priority];
    made.config = band;
    made.fixed = true;
  }
  auto& zero = bands_[0];
  if (!zero.fixed) zero.config = config_.otherwise;
  zero.config.priority = 0;
  zero.fixed = true;
}

FlowControl::QueueBand& FlowControl::band_of(std::int32_t priority) {
  const auto it = bands_.find(priority);
  return it == bands_.end() ? bands_.at(0) : it->second;
}

// What is best first within a flow, and across flows where flows are ignored.
std::int64_t FlowControl::key_of(const Item& item, Ordering ordering, Ticket ticket,
                                 Mono now) const {
  switch (ordering) {
    case Ordering::kFcfs:
      return static_cast<std::int64_t>(ticket);
    case Ordering::kEdf:
      return config_.ttl > Nanos(0) ? later(now, config_.ttl) : kLast;
    case Ordering::kSloDeadline:
      return item.slo_ttft ? later(now, *item.slo_ttft) : kLast;
  }
  return kLast;
}

bool FlowControl::full(const QueueBand& band, std::int64_t bytes) const {
  const auto over = [](std::int64_t used, std::int64_t more, std::int64_t most) {
    return most > 0 && more > most - used;
  };
  return over(band.requests, 1, band.config.max_requests) ||
         over(band.bytes, bytes, band.config.max_bytes) ||
         over(static_cast<std::int64_t>(items_.size()), 1, config_.max_requests) ||
         over(bytes_, bytes, config_.max_bytes);
}

FlowControl::Entry FlowControl::enqueue(const Item& item, const Saturation& pool, Mono now) {
  note_pool(pool, now);
  if (down_) return {.rejected = Outcome::kShuttingDown};
  auto& band = band_of(item.priority);
  if (full(band, item.bytes)) {
    return {.rejected =
                pool.endpoints == 0 ? Outcome::kRejectedNoEndpoints : Outcome::kRejectedCapacity};
  }
  const auto ticket = ++last_ticket_;
  const bool known = band.flows.contains(item.fairness_id) || band.flows.size() < kMaxFlows;
  const auto name = known ? item.fairness_id : std::string();
  auto& flow = band.flows[name];
  flow.used = band.used = now;
  const auto key = key_of(item, band.config.ordering, ticket, now);
  flow.queue.emplace(key, ticket);
  items_.emplace(ticket, Waiting{.priority = band.config.priority,
                                 .flow = name,
                                 .key = key,
                                 .bytes = item.bytes,
                                 .since = now});
  band.bytes += item.bytes;
  ++band.requests;
  bytes_ += item.bytes;
  return {.ticket = ticket, .rejected = {}};
}

void FlowControl::remove(Ticket ticket) {
  const auto it = items_.find(ticket);
  const auto& item = it->second;
  auto& band = bands_.at(item.priority);
  band.flows.find(item.flow)->second.queue.erase({item.key, ticket});
  band.bytes -= item.bytes;
  --band.requests;
  bytes_ -= item.bytes;
  items_.erase(it);
}

// The budget starts anew when the pool becomes empty and when it stops being so.
void FlowControl::note_pool(const Saturation& pool, Mono now) {
  const bool empty = pool.endpoints == 0;
  if (empty != empty_pool_) flipped_ = now;
  empty_pool_ = empty;
}

std::optional<Outcome> FlowControl::expired(const Waiting& waiting, Mono now) const {
  const auto budget = empty_pool_ ? config_.no_endpoint_ttl : config_.ttl;
  if (budget <= Nanos(0) || now - std::max(waiting.since, flipped_) < budget) return std::nullopt;
  return empty_pool_ ? Outcome::kExpiredNoEndpoints : Outcome::kExpired;
}

bool FlowControl::dispatch(const Saturation& pool, Mono now, std::vector<Finished>& out) {
  note_pool(pool, now);
  if (empty_pool_) return false;
  std::size_t rank = 0;
  for (auto& [priority, band] : bands_) {
    // A band that may not go blocks those below it, so that they do not take its room.
    if (pool.effective >= ceiling_of(priority, rank++, pool.effective)) return false;
    while (band.requests > 0) {
      const auto flow = choose(band, now);
      const auto ticket = flow->second.queue.begin()->second;
      const auto& item = items_.at(ticket);
      const auto outcome = expired(item, now);
      band.last_served = flow->first;
      flow->second.used = band.used = now;
      if (!outcome) {
        flow->second.waited += now - item.since;
        ++flow->second.dispatched;
      }
      remove(ticket);
      out.push_back({ticket, outcome.value_or(Outcome::kDispatched)});
      if (!outcome) return true;
    }
  }
  return false;
}

std::optional<Demand> FlowControl::blocked(const Saturation& pool) const {
  if (empty_pool_) return std::nullopt;
  std::size_t rank = 0;
  bool blocked = false;
  for (const auto& [priority, band] : bands_) {
    const double most = ceiling_of(priority, rank++, pool.effective);
    blocked = blocked || pool.effective >= most;
    // Who may never go asks for no room.
    if (!blocked || band.requests == 0 || most <= 0) continue;
    return Demand{.priority = priority, .saturation = pool.effective, .ceiling = most};
  }
  return std::nullopt;
}

double FlowControl::ceiling_of(std::int32_t priority, std::size_t rank, double saturation) const {
  return ceiling(config_.usage_limit,
                 {.rank = rank,
                  .bands = bands_.size(),
                  .priority = priority,
                  .highest = bands_.begin()->first,
                  .lowest = bands_.rbegin()->first},
                 saturation);
}

// A flow with a queue; there is one.
FlowControl::Flows::iterator FlowControl::choose(QueueBand& band, Mono now) {
  const auto waits = [](const auto& flow) { return !flow.second.queue.empty(); };
  switch (band.config.fairness.kind) {
    case Fairness::Kind::kGlobalStrict: {
      auto best = std::ranges::find_if(band.flows, waits);
      for (auto it = best; it != band.flows.end(); ++it) {
        if (waits(*it) && *it->second.queue.begin() < *best->second.queue.begin()) best = it;
      }
      return best;
    }
    case Fairness::Kind::kRoundRobin: {
      const auto next =
          std::find_if(band.flows.upper_bound(band.last_served), band.flows.end(), waits);
      return next != band.flows.end() ? next : std::ranges::find_if(band.flows, waits);
    }
    case Fairness::Kind::kProgramAware:
      return least_served(band, now);
  }
  return band.flows.begin();
}

// The program with the least service so far, against how long its head has waited; both as a share
// of the largest.
FlowControl::Flows::iterator FlowControl::least_served(QueueBand& band, Mono now) {
  const auto& fairness = band.config.fairness;
  const auto wait = [&](const Flow& flow) {
    return seconds(now - items_.at(flow.queue.begin()->second).since);
  };
  double most_service = 0, most_wait = 0;
  for (auto& [name, flow] : band.flows) {
    if (flow.queue.empty()) continue;
    decay(flow, fairness, now);
    most_service = std::max(most_service, flow.service);
    most_wait = std::max(most_wait, wait(flow));
  }
  auto best = band.flows.end();
  double best_score = 0;
  for (auto it = band.flows.begin(); it != band.flows.end(); ++it) {
    if (it->second.queue.empty()) continue;
    const double service = most_service > 0 ? it->second.service / most_service : 0;
    const double waited = most_wait > 0 ? wait(it->second) / most_wait : 0;
    const double score = fairness.weight_wait * waited - fairness.weight_service * service;
    if (best != band.flows.end() && score <= best_score) continue;
    best = it;
    best_score = score;
  }
  return best;
}

void FlowControl::decay(Flow& flow, const Fairness& fairness, Mono now) {
  const double passed = seconds(now - flow.decayed);
  if (fairness.half_life > Nanos(0)) {
    flow.service *= std::exp2(-passed / seconds(fairness.half_life));
  }
  flow.decayed = now;
}

void FlowControl::served(std::int32_t priority, std::string_view fairness_id,
                         std::int64_t prompt_tokens, std::int64_t completion_tokens, Mono now) {
  auto& band = band_of(priority);
  const auto it = band.flows.find(fairness_id);
  if (band.config.fairness.kind != Fairness::Kind::kProgramAware || it == band.flows.end()) return;
  decay(it->second, band.config.fairness, now);
  it->second.service +=
      static_cast<double>(prompt_tokens) + 2 * static_cast<double>(completion_tokens);
  it->second.used = now;
}

void FlowControl::sweep(const Saturation& pool, Mono now, std::vector<Finished>& out) {
  note_pool(pool, now);
  const auto before = out.size();
  for (const auto& [ticket, item] : items_) {
    if (const auto outcome = expired(item, now)) out.push_back({ticket, *outcome});
  }
  std::sort(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(),
            [](const Finished& a, const Finished& b) { return a.ticket < b.ticket; });
  for (auto i = before; i < out.size(); ++i) remove(out[i].ticket);
  for (auto& [priority, band] : bands_) {
    const auto& fairness = band.config.fairness;
    const bool remembers = fairness.kind == Fairness::Kind::kProgramAware;
    const auto idle = remembers ? std::max(kFlowIdle, fairness.forget_after) : kFlowIdle;
    std::erase_if(band.flows, [&](const auto& flow) {
      return flow.second.queue.empty() && now - flow.second.used >= idle;
    });
  }
  std::erase_if(bands_, [&](const auto& each) {
    const auto& band = each.second;
    return !band.fixed && !band.wanted && band.requests == 0 && now - band.used >= kBandIdle;
  });
}

bool FlowControl::cancel(Ticket ticket) {
  if (!items_.contains(ticket)) return false;
  remove(ticket);
  return true;
}

void FlowControl::shut_down(std::vector<Finished>& out) {
  down_ = true;
  const auto before = out.size();
  for (const auto& [ticket, item] : items_) out.push_back({ticket, Outcome::kShuttingDown});
  std::sort(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(),
            [](const Finished& a, const Finished& b) { return a.ticket < b.ticket; });
  for (auto i = before; i < out.size(); ++i) remove(out[i].ticket);
}

void FlowControl::want(std::span<const std::int32_t> priorities, Mono now) {
  for (auto& [priority, band] : bands_) {
    const bool wanted = std::ranges::find(priorities, priority) != priorities.end();
    if (band.wanted && !wanted) band.used = now;
    band.wanted = wanted;
  }
  for (const auto priority : priorities) {
    if (bands_.contains(priority)) continue;
    auto& band = bands_[priority];
    band.config = priority < 0 ? config_.otherwise_negative : config_.otherwise;
    band.config.priority = priority;
    band.wanted = true;
    band.used = now;
  }
}

std::map<std::string, FlowControl::Program> FlowControl::programs(Mono now) {
  std::map<std::string, Program> out;
  for (auto& [priority, band] : bands_) {
    if (band.config.fairness.kind != Fairness::Kind::kProgramAware) continue;
    for (auto& [name, flow] : band.flows) {
      decay(flow, band.config.fairness, now);
      auto& program = out[name];
      program.service += flow.service;
      program.waited += flow.waited;
      program.requests += flow.dispatched;
    }
  }
  return out;
}

std::vector<FlowControl::BandState> FlowControl::bands() const {
  std::vector<BandState> out;
  for (const auto& [priority, band] : bands_) {
    out.push_back({.priority = priority,
                   .requests = band.requests,
                   .bytes = band.bytes,
                   .max_requests = band.config.max_requests,
                   .max_bytes = band.config.max_bytes,
                   .flows = band.flows.size()});
  }
  return out;
}

}  // namespace baton::schedule
