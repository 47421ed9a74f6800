#pragma once
// ext_proc streams as gRPC calls: how many, how long, how they ended (picker reference 6.9). Only
// where --enable-grpc-stream-metrics asks for it.

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"
#include "net/grpc/status.hpp"

namespace baton::epp {

// Any thread.
class StreamMetrics {
 public:
  StreamMetrics(observe::Registry& registry, const Clock& clock);

  // One stream, from now until it is destroyed: cancelled, unless ended() was called.
  class Open {
   public:
    explicit Open(StreamMetrics& metrics);
    ~Open();
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;
    void ended(grpc::StatusCode code) { code_ = code; }

   private:
    StreamMetrics& metrics_;
    const Mono began_;
    grpc::StatusCode code_ = grpc::StatusCode::kCancelled;
  };

 private:
  observe::Registry& registry_;
  const Clock& clock_;
  observe::Gauge& open_;
  observe::Histogram& duration_;
};

}  // namespace baton::epp
