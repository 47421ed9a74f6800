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

// How long a follower waits before it asks again.
struct FollowPauses {
  Nanos list = std::chrono::seconds(1);  // after a list that failed
  // After a watch that failed, or expired before it told anything; doubled each time in a row.
  Nanos watch = std::chrono::seconds(1);
  Nanos longest = std::chrono::seconds(30);  // of those
  Nanos absent = std::chrono::seconds(30);   // while the kind is not served
};

// `on_event` runs on the follower's thread: added (also for each object of the first list),
// modified, deleted (also for what a later list no longer has). Starts at once; stops and joins
// when destroyed. What it calls must outlive it.
class Follower {
 public:
  using OnEvent = std::function<void(const Event&)>;
  // After the events of each list: its version, or why there is none. kNotFound: the kind is not
  // served (its CRD is not installed); it is asked for again every half minute, and all that the
  // next list has is told then, also what was there before, for readers that forgot it.
  using OnList = std::function<void(const Result<Version>&)>;
  // What is kept of the objects seen. kVersions suits a reader with a store of its own; an object
  // that a later list no longer has is then told by apiVersion, kind, namespace and name only.
  enum class Keep : bool { kObjects, kVersions };
  Follower(Cluster& cluster, const Clock& clock, Query query, OnEvent on_event)
      : Follower(cluster, clock, std::move(query), std::move(on_event), nullptr, Keep::kObjects) {}
  Follower(Cluster& cluster, const Clock& clock, Query query, OnEvent on_event, OnList on_list,
           Keep keep, FollowPauses pauses = {});
  ~Follower();
  // It ends soon; the destructor waits for that.
  void stop();

 private:
  struct Known {
    Version version;
    Object object;  // null with kVersions
  };
  void run();
  Result<Version> relist();
  struct Watched {
    Error end;
    bool told = false;  // an event
  };
  Watched follow(const Version& from);
  void pause(Nanos at_most);  // or until it stops
  bool is_stopping();
  void deliver(const Event& event);

  Cluster& cluster_;
  const Clock& clock_;
  const Query query_;
  const OnEvent on_event_;
  const OnList on_list_;
  const Keep keep_;
  const FollowPauses pauses_;
  std::map<ObjectKey, Known> known_;  // the thread's
  std::mutex mutex_;                  // guards stopping_, watch_
  std::condition_variable wake_;
  bool stopping_ = false;
  std::unique_ptr<Watch> watch_;
  std::thread thread_;
};

}  // namespace baton::kube
