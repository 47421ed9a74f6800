#pragma once
// One watch of a RestCluster, over as many requests as it takes.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "net/kube/api_client.hpp"
#include "net/kube/resource.hpp"
#include "net/kube/watch_decoder.hpp"

namespace baton::kube {

class RestWatch final : public Watch {
 public:
  struct Config {
    Nanos watch_time;
    Nanos idle;
    Nanos resume_for;
    const text::json::Keep* keep;
  };
  RestWatch(ApiClient& api, const Clock& clock, Query query, Resource resource, Version from,
            Config config);
  ~RestWatch() override;

  // The first request, so that a version that is too old is told at once.
  Status open(Deadline deadline);
  Result<std::optional<Event>> next(Deadline deadline) override;
  void close() override;

 private:
  // kOpen: reads from stream_. kBroken: to be opened again, not before retry_at_.
  enum class State : std::uint8_t { kOpen, kBroken, kFailed };

  void broke(std::string_view why);
  // Opens again if it is time; kTimeout when it is not within the deadline.
  Status resume(Deadline deadline);
  // Reads once.
  Status read(Deadline deadline);
  Error fail(Error error);
  bool closed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }

  ApiClient& api_;
  const Clock& clock_;
  const Query query_;
  const Resource resource_;
  const Config config_;
  // The reader's.
  State state_ = State::kBroken;
  Version version_;
  WatchDecoder decoder_;
  Mono heard_{};  // when bytes came last
  Mono good_{};   // when the watch worked last
  Mono retry_at_{};
  Nanos pause_{};     // before the next attempt
  int refusals_ = 0;  // since the last event
  std::optional<Error> failure_;
  bool warned_ = false;  // of this outage

  std::mutex mutex_;  // guards the rest
  std::condition_variable wake_;
  bool closed_ = false;
  std::shared_ptr<http::BlockingResponse> stream_;
};

}  // namespace baton::kube
