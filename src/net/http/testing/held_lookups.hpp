#pragma once
// For tests: name lookups that hang until they are released, instead of the system's.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "net/http/lookup.hpp"
#include "net/http/testing/raw_client.hpp"

namespace baton::http::testing {

class HeldLookups {
 public:
  HeldLookups() {
    look_up_by([held = held_](const std::string& host) { return held->look_up(host); });
  }
  // Leaves none behind.
  ~HeldLookups() {
    release();
    EXPECT_TRUE(eventually([] { return lookups_under_way() == 0; }));
    look_up_by(nullptr);
  }
  HeldLookups(const HeldLookups&) = delete;
  HeldLookups& operator=(const HeldLookups&) = delete;

  int begun() const {
    const std::lock_guard lock(held_->mutex);
    return held_->begun;
  }
  // All end, later ones at once, with this address; "": there is none.
  void release(std::string address = "") {
    const std::lock_guard lock(held_->mutex);
    held_->address = std::move(address);
    held_->released = true;
    held_->changed.notify_all();
  }

 private:
  // Its threads may outlast the test.
  struct Held {
    Result<Addresses> look_up(const std::string& host) {
      std::unique_lock lock(mutex);
      ++begun;
      changed.wait_for(lock, std::chrono::seconds(30), [this] { return released; });
      const auto found = literal_address({address, 0});
      if (!found) return unavailable(fmt::format("no address for '{}'", host));
      return Addresses{*found};
    }

    std::mutex mutex;  // guards the rest
    std::condition_variable changed;
    int begun = 0;
    bool released = false;
    std::string address;
  };
  const std::shared_ptr<Held> held_ = std::make_shared<Held>();
};

}  // namespace baton::http::testing
