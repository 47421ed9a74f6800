#include "net/kube/work_queue.hpp"

#include <algorithm>
#include <iterator>

namespace baton::kube {

void Backlog::add(const std::string& key, Mono when) {
  if (const auto busy = in_work_.find(key); busy != in_work_.end()) {
    busy->second = std::min(busy->second, when);
    return;
  }
  const auto [at, fresh] = due_.try_emplace(key, when);
  if (!fresh) {
    if (at->second <= when) return;
    order_.erase({at->second, key});
    at->second = when;
  }
  order_.emplace(when, key);
}

void Backlog::retry(const std::string& key, Mono now) {
  constexpr int kMaxDoublings = 30;
  const int failures = std::min(failures_[key]++, kMaxDoublings);
  add(key, now + std::min(config_.max, config_.base * (std::int64_t{1} << failures)));
}

std::optional<std::string> Backlog::take(Mono now) {
  if (order_.empty() || order_.begin()->first > now) return std::nullopt;
  std::string key = std::move(order_.extract(order_.begin()).value().second);
  due_.erase(key);
  in_work_.emplace(key, Mono::max());
  return key;
}

bool Backlog::done(const std::string& key) {
  const auto node = in_work_.extract(key);
  if (node.empty() || node.mapped() == Mono::max()) return false;
  add(key, node.mapped());
  return true;
}

Mono Backlog::next_due() const { return order_.empty() ? Mono::max() : order_.begin()->first; }

std::size_t Backlog::busy(Mono now) const {
  const auto due = std::ranges::find_if(order_, [&](const auto& one) { return one.first > now; });
  return in_work_.size() + static_cast<std::size_t>(std::distance(order_.begin(), due));
}

void WorkQueue::add_after(const std::string& key, Nanos delay) {
  const std::lock_guard lock(mutex_);
  backlog_.add(key, clock_.now() + delay);
  changed_.notify_one();
}

void WorkQueue::retry(const std::string& key) {
  const std::lock_guard lock(mutex_);
  backlog_.retry(key, clock_.now());
  changed_.notify_one();
}

void WorkQueue::forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  backlog_.forget(key);
}

std::optional<std::string> WorkQueue::next() {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    if (auto key = backlog_.take(clock_.now())) {
      // This worker may have been the only one that knew when the next key is due.
      if (backlog_.next_due() != Mono::max()) changed_.notify_one();
      return key;
    }
    const Mono due = backlog_.next_due();
    if (due == Mono::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, due);
    }
  }
  return std::nullopt;
}

std::optional<std::string> WorkQueue::next_if_due() {
  const std::lock_guard lock(mutex_);
  return closed_ ? std::nullopt : backlog_.take(clock_.now());
}

void WorkQueue::done(const std::string& key) {
  const std::lock_guard lock(mutex_);
  if (backlog_.done(key)) changed_.notify_one();
}

std::size_t WorkQueue::depth() {
  const std::lock_guard lock(mutex_);
  return backlog_.busy(clock_.now());
}

void WorkQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace baton::kube
