#pragma once
// When a container is started, ready and alive. `ProbeTracker` is pure; the checks below block.

#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/kube/cluster.hpp"

namespace baton::node {

enum class Scheme : bool { kHttp, kHttps };

struct ProbeSpec {
  enum class Kind : std::uint8_t { kHttp, kTcp, kGrpc, kExec };
  Kind kind = Kind::kHttp;
  std::string host;
  std::uint16_t port = 0;
  std::string path = "/";
  Scheme scheme = Scheme::kHttp;
  std::string service;               // kGrpc: what is asked about, "" for all of the server
  std::vector<std::string> command;  // kExec
  Nanos initial_delay{};
  Nanos period = std::chrono::seconds(10);
  Nanos timeout = std::chrono::seconds(1);
  int success_threshold = 1;
  int failure_threshold = 3;
};

// `container` resolves named ports.
Result<ProbeSpec> probe_spec(const kube::Object& probe, const kube::Object& container,
                             const std::string& address);

// Delays are ceilings: until a startup or readiness probe succeeds it is tried every 100 ms, but a
// failure counts only once per period and after the initial delay, so that the time a container is
// given is the one the manifest says. A liveness probe keeps its delay and period, and is
// not asked in its first period.
class ProbeTracker {
 public:
  enum class Style : bool { kEager, kPatient };
  enum class State : std::uint8_t { kUnknown, kPassed, kFailed };
  static constexpr Nanos kEagerPeriod = Millis(100);

  ProbeTracker(ProbeSpec spec, Style style, Mono now);

  const ProbeSpec& spec() const { return spec_; }
  Mono due() const { return due_; }
  enum class Outcome : bool { kFailure, kSuccess };
  // kPassed and kFailed stay until the threshold of the other is reached.
  State record(Outcome outcome, Mono now);
  State state() const { return state_; }

 private:
  ProbeSpec spec_;
  Style style_;
  Mono due_;
  Mono counts_from_;  // a failure before this does not count
  int successes_ = 0;
  int failures_ = 0;
  State state_ = State::kUnknown;
};

struct HttpTarget {
  std::string host;  // an address or a name
  std::uint16_t port = 0;
  std::string path;
  Scheme scheme = Scheme::kHttp;
};
// One GET, HTTP/1.1, on a connection of its own; the body; an error over `limit` bytes.
struct Answer {
  int status = 0;
  std::string body;
};
Result<Answer> blocking_get(const HttpTarget& target, Deadline deadline, const Clock& clock,
                            std::size_t limit = 16 << 10);
// All but kExec. kUnavailable, with what went wrong; HTTP passes with 200 to 399, gRPC (in the
// clear) with SERVING.
Status blocking_probe(const ProbeSpec& spec, const Clock& clock);

}  // namespace baton::node
