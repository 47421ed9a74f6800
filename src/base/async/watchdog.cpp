#include "base/async/watchdog.hpp"

#include <algorithm>

namespace baton::async {

namespace {
// Scans are at least this far apart, however the deadlines lie.
constexpr Nanos kShortestNap = Millis(2);
}  // namespace

Watchdog::Entry::Entry(Watchdog& owner, std::function<void()> on_expiry)
    : owner_(owner), on_expiry_(std::move(on_expiry)), next_(owner.first_) {
  if (next_ != nullptr) next_->previous_ = this;
  owner_.first_ = this;
}

Watchdog::Entry::~Entry() {
  if (owner_.cursor_ == this) owner_.cursor_ = next_;
  if (owner_.first_ == this) owner_.first_ = next_;
  if (previous_ != nullptr) previous_->next_ = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

void Watchdog::arm(Mono at) {
  armed_ = at;
  timer_.expires_at(at);
  timer_.async_wait(
      [this, alive = std::weak_ptr<bool>(alive_)](const boost::system::error_code& ec) {
        if (!ec && !alive.expired()) scan();
      });
}

void Watchdog::scan() {
  Mono now = std::chrono::steady_clock::now();
  armed_ = now;  // a deadline set by a callback is seen below, not armed on its own
  for (Entry* entry = first_; entry != nullptr; entry = cursor_) {
    cursor_ = entry->next_;
    if (entry->at_ > now) continue;
    entry->at_ = Mono::max();
    entry->on_expiry_();
  }
  cursor_ = nullptr;
  Mono earliest = Mono::max();
  for (Entry* entry = first_; entry != nullptr; entry = entry->next_) {
    earliest = std::min(earliest, entry->at_);
  }
  armed_ = Mono::max();
  if (earliest != Mono::max()) arm(std::max(earliest, now + kShortestNap));
}

}  // namespace baton::async
