#include "net/kube/work_queue.hpp"

#include <algorithm>

namespace baton::kube {

void Backlog::add(const std::string& key, Mono when) {
  const auto [at, fresh] = due_.try_emplace(key, when);
  if (!fresh) at->second = std::min(at->second, when);
}

void Backlog::retry(const std::string& key, Mono now) {
  constexpr int kMaxDoublings = 30;
  const int failures = std::min(failures_[key]++, kMaxDoublings);
  add(key, now + std::min(config_.max, config_.base * (std::int64_t{1} << failures)));
}

std::optional<std::string> Backlog::take(Mono now) {
  auto best = due_.end();
  for (auto at = due_.begin(); at != due_.end(); ++at) {
    if (at->second > now || in_work_.contains(at->first)) continue;
    if (best == due_.end() || at->second < best->second) best = at;
  }
  if (best == due_.end()) return std::nullopt;
  std::string key = best->first;
  due_.erase(best);
  in_work_.insert(key);
  return key;
}

Mono Backlog::next_due() const {
  Mono first = Mono::max();
  for (const auto& [key, when] : due_) {
    if (!in_work_.contains(key)) first = std::min(first, when);
  }
  return first;
}

std::size_t Backlog::busy(Mono now) const {
  const auto due = std::ranges::count_if(due_, [&](const auto& entry) {
    return entry.second <= now && !in_work_.contains(entry.first);
  });
  return in_work_.size() + static_cast<std::size_t>(due);
}

void WorkQueue::add_after(const std::string& key, Nanos delay) {
  const std::lock_guard lock(mutex_);
  backlog_.add(key, clock_.now() + delay);
  changed_.notify_all();
}

void WorkQueue::retry(const std::string& key) {
  const std::lock_guard lock(mutex_);
  backlog_.retry(key, clock_.now());
  changed_.notify_all();
}

void WorkQueue::forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  backlog_.forget(key);
}

std::optional<std::string> WorkQueue::next() {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    if (auto key = backlog_.take(clock_.now())) return key;
    const Mono due = backlog_.next_due();
    if (due == Mono::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, due);
    }
  }
  return std::nullopt;
}

void WorkQueue::done(const std::string& key) {
  const std::lock_guard lock(mutex_);
  backlog_.done(key);
  changed_.notify_all();
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
