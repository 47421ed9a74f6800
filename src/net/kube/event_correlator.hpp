#pragma once
// Which events are worth a write, and as what: repeats are counted, many alike become one, and one
// object cannot flood the server. Pure.
// As client-go: tools/record/events_cache.go v0.34.4.

#include <cstdint>
#include <list>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "net/kube/cluster.hpp"

namespace baton::kube {

enum class EventType : bool { kNormal, kWarning };

// Confined to its owner.
class EventCorrelator {
 public:
  struct Config {
    std::size_t kept = 4096;                        // series, and objects, that are remembered
    std::size_t alike = 10;                         // different messages before they become one
    Nanos alike_within = std::chrono::minutes(10);  // since the last of them
    int burst = 25;                                 // events of one type about one object at once,
    Nanos refill = std::chrono::minutes(5);         // and one more each time
  };
  explicit EventCorrelator(Config config) : config_(config) {}
  EventCorrelator() : EventCorrelator(Config{}) {}

  struct Outcome {
    enum class Do : std::uint8_t { kDrop, kCreate, kRepeat } what = Do::kDrop;
    std::string name;     // of the Event object: the same for the same series
    std::string message;  // "(combined from similar events): ..." when it is one of many
    std::int64_t count = 1;
  };
  // `reason` and `message` about the object with that uid, or name where it has none.
  Outcome note(const Object& about, EventType type, std::string_view reason,
               std::string_view message, Mono now);
  std::uint64_t dropped() const { return dropped_; }

 private:
  // The values used last; the oldest goes when there are more than `limit`.
  template <class Value>
  class Recent {
   public:
    // Made empty when it is not there.
    Value& at(const std::string& key, std::size_t limit) {
      const auto found = index_.find(key);
      if (found != index_.end()) {
        order_.splice(order_.begin(), order_, found->second);
      } else {
        order_.emplace_front(key, Value());
        index_[key] = order_.begin();
        if (index_.size() > limit) {
          index_.erase(order_.back().first);
          order_.pop_back();
        }
      }
      return order_.front().second;
    }

   private:
    std::list<std::pair<std::string, Value>> order_;
    std::map<std::string, typename std::list<std::pair<std::string, Value>>::iterator> index_;
  };
  struct Alike {
    std::set<std::string> messages;
    Mono last{};
  };
  struct Allowance {
    bool known = false;
    double left = 0;
    Mono at{};
  };

  bool allow(const std::string& typed, Mono now);

  const Config config_;
  Recent<Alike> alike_;           // by object, type and reason
  Recent<std::int64_t> counts_;   // by series
  Recent<Allowance> allowances_;  // by object and type: what went well hides no warning
  std::uint64_t dropped_ = 0;
};

}  // namespace baton::kube
