#pragma once
// The P/D routing sidecar: stands in front of the decode engine, runs the prefill leg first when
// the picker asks for it, and forwards everything else.

#include <cstddef>
#include <memory>
#include <string>

#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "net/http/message.hpp"
#include "routing/sidecar/breaker.hpp"
#include "routing/sidecar/transaction.hpp"

namespace baton::sidecar {

struct Config {
  http::Endpoint decoder{"localhost", 8200};
  Tactics tactics{};
  Nanos request_timeout = std::chrono::seconds(600);  // both legs together; a client may say less
  BreakerSettings breaker{};                          // of each prefill engine
  double fallback_share = 0.5;                        // of decode_capacity
  std::size_t decode_capacity = 256;    // requests that the decode engine runs at once
  std::string allowlist_file{};         // empty: every prefill endpoint is allowed
  bool sample_prefillers = false;       // a random candidate instead of the first
  std::size_t idle_connections = 1024;  // per engine
};

// Confined to its loop, except where stated.
class Sidecar {
 public:
  // The references outlive it.
  Sidecar(async::Loop& loop, const Clock& clock, Random& random, observe::Registry& registry,
          Config config);
  ~Sidecar();

  // From any thread.
  Result<http::Endpoint> listen(const http::Endpoint& at);
  Result<http::Endpoint> listen_metrics(const http::Endpoint& at);
  // From any thread but the loop's: lets requests finish until the deadline, then cancels them;
  // leases of theirs are released.
  void stop(Deadline deadline);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::sidecar
