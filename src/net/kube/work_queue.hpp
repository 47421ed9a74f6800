#pragma once
// What a controller has to look at. A key waits at most once and is worked on by one worker at a
// time; one added while it is being worked on comes again afterwards.

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/core/clock.hpp"

namespace baton::kube {

// The bookkeeping, without threads: time comes in. Confined to its owner.
class Backlog {
 public:
  // Retry n of a key waits base * 2^n, at most max.
  struct Config {
    Nanos base = Millis(5);
    Nanos max = std::chrono::seconds(60);
  };
  explicit Backlog(Config config) : config_(config) {}

  void add(const std::string& key, Mono when);
  // After a failure; the waits grow until forget().
  void retry(const std::string& key, Mono now);
  void forget(const std::string& key) { failures_.erase(key); }

  // The key that has been due longest and is not in work; it is in work from now on.
  std::optional<std::string> take(Mono now);
  // Whether the key waits again.
  bool done(const std::string& key);
  // When take() may have something next; Mono::max() when nothing waits.
  Mono next_due() const;
  // Keys that are due or in work; those that wait for their time are not.
  std::size_t busy(Mono now) const;

 private:
  Config config_;
  std::map<std::string, Mono> due_;               // not in work
  std::set<std::pair<Mono, std::string>> order_;  // the same, by time
  std::map<std::string, Mono> in_work_;           // when to come again; Mono::max(): not at all
  std::map<std::string, int> failures_;
};

// Thread-safe Backlog that workers wait on. Bounded by the number of distinct keys.
class WorkQueue {
 public:
  WorkQueue(const Clock& clock, Backlog::Config config) : clock_(clock), backlog_(config) {}
  explicit WorkQueue(const Clock& clock) : WorkQueue(clock, Backlog::Config{}) {}

  void add(const std::string& key) { add_after(key, Nanos(0)); }
  void add_after(const std::string& key, Nanos delay);
  void retry(const std::string& key);
  void forget(const std::string& key);
  // Blocks until a key is due; nullopt once closed.
  std::optional<std::string> next();
  // The same without waiting: nullopt, too, when none is due.
  std::optional<std::string> next_if_due();
  void done(const std::string& key);
  void close();
  std::size_t depth();  // Backlog::busy

 private:
  const Clock& clock_;
  std::mutex mutex_;  // guards backlog_, closed_
  std::condition_variable changed_;
  Backlog backlog_;
  bool closed_ = false;
};

}  // namespace baton::kube
