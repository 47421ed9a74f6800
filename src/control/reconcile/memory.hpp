#pragma once
// What a reconciler remembers of each service between passes, none of which it needs to be right:
// a restarted one looks again, and writes nothing.

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/reconcile/detail_pause.hpp"
#include "net/kube/cache.hpp"

namespace baton::reconcile {

struct Remembered {
  // The Observation::fingerprint of a pass that found nothing to do.
  std::optional<std::uint64_t> settled;
  // What the last pass wrote, and since when the cache is waited for.
  std::vector<kube::Expectation> expectations;
  Mono written_at{};
  StatusTimes status;
  // The merged spec that the API server was asked about last, and its answer.
  std::uint64_t validated = 0;
  std::optional<Error> refusal;
  // The warnings there were when it was last looked at; nullopt: not looked at yet.
  std::optional<std::set<std::string>> warnings;
};

// Thread-safe; the entry of a key is used by the one worker that has the key.
class Memory {
 public:
  Remembered& of(const std::string& key) {
    const std::lock_guard lock(mutex_);
    return entries_[key];
  }
  void forget(const std::string& key) {
    const std::lock_guard lock(mutex_);
    entries_.erase(key);
  }

 private:
  std::mutex mutex_;  // guards the map, not what is in it
  std::map<std::string, Remembered> entries_;
};

}  // namespace baton::reconcile
