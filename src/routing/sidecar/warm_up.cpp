#include "routing/sidecar/warm_up.hpp"

#include <algorithm>

namespace baton::sidecar {

WarmUps::Pair& WarmUps::of(const http::Endpoint& prefiller, Mono now) {
  auto found = pairs_.find(prefiller);
  if (found == pairs_.end()) {
    if (pairs_.size() >= kMax) {
      auto oldest = pairs_.end();
      for (auto it = pairs_.begin(); it != pairs_.end(); ++it) {
        const bool older = oldest == pairs_.end() || it->second.used < oldest->second.used;
        if (it->second.state != State::kWarming && older) oldest = it;
      }
      pairs_.erase(oldest);  // there is one: at most kAtOnce are warming
    }
    found = pairs_.emplace(prefiller, Pair()).first;
  }
  found->second.used = now;
  return found->second;
}

bool WarmUps::is_warm(const http::Endpoint& prefiller) const {
  auto found = pairs_.find(prefiller);
  return found != pairs_.end() && found->second.state == State::kWarm;
}

bool WarmUps::begin(const http::Endpoint& prefiller, Mono now) {
  Pair& pair = of(prefiller, now);
  if (pair.state != State::kCold || running_ >= kAtOnce || now < pair.not_before) return false;
  pair.state = State::kWarming;
  ++running_;
  return true;
}

void WarmUps::end(const http::Endpoint& prefiller, std::string_view engine_id, Mono now) {
  Pair& pair = of(prefiller, now);
  if (pair.state == State::kWarming) --running_;
  pair.state = engine_id.empty() ? State::kCold : State::kWarm;
  pair.engine_id = engine_id;
  pair.not_before = engine_id.empty() ? now + kPause : now;
}

void WarmUps::seen(const http::Endpoint& prefiller, std::string_view engine_id, Mono now) {
  Pair& pair = of(prefiller, now);
  if (pair.state == State::kWarm && pair.engine_id != engine_id) pair.state = State::kCold;
}

void WarmUps::lost(const http::Endpoint& prefiller) {
  auto found = pairs_.find(prefiller);
  if (found != pairs_.end() && found->second.state == State::kWarm) {
    found->second.state = State::kCold;
  }
}

std::size_t WarmUps::warm() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      pairs_, [](const auto& each) { return each.second.state == State::kWarm; }));
}

}  // namespace baton::sidecar
