#pragma once
// Follows the objects of a query on a thread of its own: lists, watches, and lists again when the
// watch expires or breaks.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "net/kube/cluster.hpp"

namespace baton::kube {

// `on_event` runs on the follower's thread: added (also for each object of the first list),
// modified, deleted (also for what a later list no longer has). Starts at once; stops and joins
// when destroyed. What it calls must outlive it.
class Follower {
 public:
  using OnEvent = std::function<void(const Event&)>;
  Follower(Cluster& cluster, const Clock& clock, Query query, OnEvent on_event);
  ~Follower();

 private:
  void run();
  // Returns the version to watch from, or "" when the list failed.
  Version relist();
  void follow(const Version& from);
  void deliver(const Event& event);

  Cluster& cluster_;
  const Clock& clock_;
  const Query query_;
  const OnEvent on_event_;
  std::map<ObjectKey, Object> known_;  // the thread's
  std::mutex mutex_;                   // guards stopping_, watch_
  std::condition_variable wake_;
  bool stopping_ = false;
  std::unique_ptr<Watch> watch_;
  std::thread thread_;
};

}  // namespace baton::kube
