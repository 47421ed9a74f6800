#include "routing/schedule/flow/eviction.hpp"

#include <algorithm>
#include <cmath>

namespace baton::schedule {

void Evictions::started(Ticket ticket, std::int32_t priority) {
  ++running_;
  if (priority >= 0) return;
  const auto order = --last_order_;
  sheddable_.emplace(ticket, Sheddable{.priority = priority, .order = order, .told = {}});
  victims_.insert({{priority, order}, ticket});
}

std::optional<Nanos> Evictions::ended(Ticket ticket, Mono now) {
  const auto it = sheddable_.find(ticket);
  if (it == sheddable_.end()) {
    --running_;
    return std::nullopt;
  }
  const auto one = it->second;
  sheddable_.erase(it);
  switch (one.state) {
    case State::kRunning:
      --running_;
      victims_.erase({{one.priority, one.order}, ticket});
      return std::nullopt;
    case State::kEnding:
      std::erase(ending_, ticket);
      settle(one.credit, now);
      return now - one.told;
    case State::kGivenUp:
      return std::nullopt;
  }
  return std::nullopt;
}

void Evictions::choose(const Demand& demand, Mono now, std::vector<Ticket>& chosen) {
  if (!ending_.empty() || !settling_.empty() || running_ == 0) return;
  const double credit = demand.saturation / static_cast<double>(running_);
  // Under a limit of 0 nothing goes, whoever ends.
  if (credit <= 0 || demand.ceiling <= 0 || demand.saturation < demand.ceiling) return;
  // At the very limit nothing is missing, and one has to end all the same.
  const double missing = std::ceil((demand.saturation - demand.ceiling) / credit);
  const auto wanted =
      static_cast<std::size_t>(std::clamp(missing, 1.0, static_cast<double>(kMostEvicted)));
  while (ending_.size() < wanted && !victims_.empty()) {
    const auto [rank, ticket] = *victims_.begin();
    if (rank.first >= demand.priority) return;
    victims_.erase(victims_.begin());
    auto& one = sheddable_.at(ticket);
    one.state = State::kEnding;
    one.credit = credit;
    one.told = now;
    --running_;
    ending_.push_back(ticket);
    chosen.push_back(ticket);
  }
}

void Evictions::pass(Mono now, std::vector<Ticket>& given_up) {
  std::erase_if(settling_, [&](const auto& each) { return now >= each.second; });
  std::erase_if(ending_, [&](Ticket ticket) {
    auto& one = sheddable_.at(ticket);
    if (now - one.told < kEndsWithin) return false;
    one.state = State::kGivenUp;
    settle(one.credit, now);
    given_up.push_back(ticket);
    return true;
  });
}

void Evictions::settle(double credit, Mono now) { settling_.emplace_back(credit, now + grace_); }

double Evictions::pending() const {
  double sum = 0;
  for (const auto& [credit, until] : settling_) sum += credit;
  for (const auto ticket : ending_) sum += sheddable_.at(ticket).credit;
  return sum;
}

}  // namespace baton::schedule
