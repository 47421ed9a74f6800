#include "routing/watch/event_stream.hpp"

#include <xxhash.h>

#include <utility>

namespace baton::watch {
namespace {

std::uint64_t digest(std::string_view payload) {
  return XXH3_64bits(payload.data(), payload.size());
}

}  // namespace

void EventStream::connected(Mono now) {
  confirmed_ = false;
  fruitless_ = 0;
  if (replays_ == Replays::kYes) return catch_up(now);
  start_over();
  next_.reset();
  state_ = State::kFollowing;
  in_sync_ = true;
}

void EventStream::lost() {
  state_ = State::kDown;
  in_sync_ = false;
  due_ = Mono::max();
  held_.clear(), held_bytes_ = 0;
  asked_.reset();
}

// Nothing is known of the engine.
void EventStream::start_over() {
  taker_.clear();
  next_ = 0;
  last_ = 0;
}

void EventStream::catch_up(Mono when) {
  state_ = State::kCatchingUp;
  in_sync_ = false;
  due_ = when;
}

void EventStream::take(std::uint64_t number, std::string_view payload) {
  taker_.apply(payload);
  next_ = number + 1;
  last_ = digest(payload);
}

void EventStream::hold(std::uint64_t number, std::string payload) {
  // What does not fit is a gap that the next history closes.
  if (held_bytes_ + payload.size() > kMaxHeldBack) return;
  held_bytes_ += payload.size();
  held_.push_back({number, std::move(payload)});
}

void EventStream::live(std::uint64_t number, std::string payload, Mono now) {
  if (state_ == State::kDown || state_ == State::kCooling) return;
  if (state_ == State::kCatchingUp) return hold(number, std::move(payload));
  if (!next_ || number == *next_) return take(number, payload);
  const bool restarted = number < *next_;
  ++(restarted ? counts_.restarts : counts_.gaps);
  if (restarted) start_over();
  if (replays_ == Replays::kYes) {
    asked_.reset();  // of a confirmation: its answer is of before
    hold(number, std::move(payload));
    return catch_up(now);
  }
  if (!restarted) taker_.clear();
  take(number, payload);
}

std::optional<std::uint64_t> EventStream::take_request(Mono now) {
  if (now < due_ || asked_) return std::nullopt;
  due_ = Mono::max();
  if (state_ == State::kCooling) {
    start_over();
    fruitless_ = 0;
    state_ = State::kCatchingUp;
  }
  if (state_ == State::kDown || replays_ == Replays::kNo) return std::nullopt;
  if (!next_) next_ = 0;
  // One that is known already shows that it is still the same engine.
  asked_ = *next_ == 0 ? 0 : *next_ - 1;
  answered_ = progress_ = false;
  return asked_;
}

void EventStream::replayed(std::uint64_t number, std::string_view payload) {
  if (!asked_) return;
  const bool first = !std::exchange(answered_, true);
  const bool overlaps = *asked_ + 1 == *next_;
  if (first && overlaps) {
    if (number == *asked_ && digest(payload) == last_) return;
    // Another engine's history, or one that no longer reaches back to what is known.
    ++(number == *asked_ ? counts_.restarts : counts_.truncated);
    start_over();
    in_sync_ = false;
    state_ = State::kCatchingUp;
    if (number == *asked_ && number > 0) {  // its beginning is not among what was asked for
      progress_ = true;
      return;
    }
    next_ = number;
  } else if (first && number > *next_) {
    ++counts_.truncated;  // what came before is unknown; blocks behind it are dropped as they come
    next_ = number;
  }
  if (number < *next_) return;
  if (number > *next_) {                   // the engine itself lost some
    if (*next_ == 0 && progress_) return;  // restarted: wait for the history from 0
    ++counts_.gaps;
    taker_.clear();
  }
  take(number, payload);
  progress_ = true;
}

void EventStream::replay_ended(Mono now) {
  if (!asked_) return;
  const bool overlapped = *asked_ > 0;
  asked_.reset();
  if (!answered_ && overlapped) {  // it does not know what it once sent
    ++counts_.restarts;
    start_over();
    return catch_up(now);
  }
  if (*next_ == 0 && progress_) return catch_up(now);  // restarted: from 0 this time
  while (!held_.empty()) {
    auto& held = held_.front();
    if (held.number > *next_) {  // still a gap
      fruitless_ = progress_ ? 0 : fruitless_ + 1;
      if (fruitless_ < kReplayAttempts) return catch_up(progress_ ? now : now + kReplayRetry);
      return replay_failed(now);
    }
    if (held.number == *next_) take(held.number, held.payload);
    held_bytes_ -= held.payload.size();
    held_.pop_front();
  }
  fruitless_ = 0;
  state_ = State::kFollowing;
  in_sync_ = true;
  if (!std::exchange(confirmed_, true)) due_ = now + kReplayConfirm;
}

void EventStream::replay_failed(Mono now) {
  asked_.reset();
  if (state_ == State::kDown) return;
  ++counts_.failures;
  if (state_ == State::kFollowing) {  // only the confirmation
    due_ = now + kReplayRetry;
    if (++fruitless_ >= kReplayAttempts) due_ = Mono::max();
    return;
  }
  if (++fruitless_ < kReplayAttempts) return catch_up(now + kReplayRetry);
  held_.clear(), held_bytes_ = 0;
  state_ = State::kCooling;
  in_sync_ = false;
  due_ = now + kReplayCooldown;
}

}  // namespace baton::watch
