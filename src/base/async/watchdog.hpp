#pragma once
// Coarse deadlines for many sessions on one timer. Moving a deadline costs two stores; only one
// that is earlier than all others touches the timer.

#include <functional>
#include <memory>
#include <utility>

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"

namespace baton::async {

// Confined to its executor; outlives its entries.
class Watchdog {
 public:
  // One deadline. `on_expiry` runs on the executor, once per set(), and may destroy the entry.
  class Entry {
   public:
    Entry(Watchdog& owner, std::function<void()> on_expiry);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    void set(Mono at) {
      at_ = at;
      if (at < owner_.armed_) owner_.arm(at);
    }
    void clear() { at_ = Mono::max(); }

   private:
    friend class Watchdog;
    Watchdog& owner_;
    std::function<void()> on_expiry_;
    Mono at_ = Mono::max();
    Entry* previous_ = nullptr;
    Entry* next_ = nullptr;
  };

  explicit Watchdog(asio::any_io_executor executor) : timer_(std::move(executor)) {}

 private:
  void arm(Mono at);
  void scan();

  asio::steady_timer timer_;
  // A wait that has already fired can outlive the watchdog in the loop's queue.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  Mono armed_ = Mono::max();
  Entry* first_ = nullptr;
  Entry* cursor_ = nullptr;  // next entry of a running scan
};

}  // namespace baton::async
