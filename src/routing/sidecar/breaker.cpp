#include "routing/sidecar/breaker.hpp"

#include <algorithm>
#include <utility>

namespace baton::sidecar {

void Breaker::open(Mono now) {
  state_ = State::kOpen;
  until_ = now + pause_;
  pause_ = std::min(pause_ * 2, settings_.longest_pause);
}

std::optional<Breaker::Pass> Breaker::admit(Mono now) {
  if (state_ == State::kClosed) return Pass::kOrdinary;
  if (state_ == State::kHalfOpen || now < until_) return std::nullopt;
  state_ = State::kHalfOpen;
  return Pass::kProbe;
}

void Breaker::on_success() {
  state_ = State::kClosed;
  failed_ = 0;
  pause_ = settings_.pause;
}

void Breaker::on_failure(Pass pass, Mono now) {
  if (state_ == State::kHalfOpen && pass == Pass::kProbe) {
    open(now);
  } else if (state_ == State::kClosed && settings_.failures > 0 &&
             ++failed_ >= settings_.failures) {
    open(now);
  }
}

void Breaker::on_abandoned(Pass pass, Mono now) {
  if (state_ != State::kHalfOpen || pass != Pass::kProbe) return;
  state_ = State::kOpen;  // the next one probes
  until_ = now;
}

Breaker& Breakers::of(const http::Endpoint& endpoint) {
  std::string key = http::to_string(endpoint);
  auto found = known_.find(key);
  if (found != known_.end()) {
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return by_use_.front().second;
  }
  if (by_use_.size() == kMax) {
    known_.erase(by_use_.back().first);
    by_use_.pop_back();
  }
  by_use_.emplace_front(key, Breaker(settings_));
  known_.emplace(std::move(key), by_use_.begin());
  return by_use_.front().second;
}

}  // namespace baton::sidecar
