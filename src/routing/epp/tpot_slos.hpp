#pragma once
// What running requests ask of their endpoints: the time per further token, in milliseconds.

#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "routing/schedule/snapshot.hpp"

namespace baton::epp {

// Thread-safe.
class TpotSlos {
 public:
  // One request's; gone when destroyed. Movable.
  class Held {
   public:
    Held() = default;
    Held(Held&& other) noexcept { *this = std::move(other); }
    Held& operator=(Held&& other) noexcept {
      std::swap(slos_, other.slos_);
      std::swap(slot_, other.slot_);
      std::swap(ms_, other.ms_);
      return *this;
    }
    ~Held() {
      if (slos_ != nullptr) slos_->drop(slot_, ms_);
    }

   private:
    friend class TpotSlos;
    TpotSlos* slos_ = nullptr;
    schedule::Slot slot_ = 0;
    double ms_ = 0;
  };

  // 0 and less ask for nothing.
  Held hold(schedule::Slot slot, double ms) {
    Held held;
    if (!(ms > 0)) return held;
    const std::lock_guard lock(mutex_);
    asked_[slot].insert(ms);
    held.slos_ = this;
    held.slot_ = slot;
    held.ms_ = ms;
    return held;
  }
  // The hardest; 0: nobody asks for anything.
  double least(schedule::Slot slot) const {
    const std::lock_guard lock(mutex_);
    const auto it = asked_.find(slot);
    return it == asked_.end() ? 0 : *it->second.begin();
  }

 private:
  void drop(schedule::Slot slot, double ms) {
    const std::lock_guard lock(mutex_);
    const auto it = asked_.find(slot);
    it->second.erase(it->second.find(ms));
    if (it->second.empty()) asked_.erase(it);
  }

  mutable std::mutex mutex_;
  std::map<schedule::Slot, std::multiset<double>> asked_;  // no set is empty
};

}  // namespace baton::epp
