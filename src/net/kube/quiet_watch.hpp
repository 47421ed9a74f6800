#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "net/kube/cluster.hpp"

namespace baton::kube {

// A watch in which nothing happens until it is closed: of a cluster whose objects nobody else
// changes.
class QuietWatch final : public Watch {
 public:
  Result<std::optional<Event>> next(Deadline) override {
    std::unique_lock lock(mutex_);
    closing_.wait(lock, [&] { return closed_; });
    return cancelled("closed");
  }
  void close() override {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    closing_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable closing_;
  bool closed_ = false;
};

}  // namespace baton::kube
