#pragma once
// grpc.health.v1.Health: Check, List and Watch (grpc.io/docs/guides/health-checking).

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "net/grpc/client.hpp"
#include "net/grpc/server.hpp"

namespace baton::grpc {

// Numbers of HealthCheckResponse.ServingStatus.
enum class Serving : std::uint8_t {
  kUnknown = 0,
  kServing = 1,
  kNotServing = 2,
  kServiceUnknown = 3
};

struct HealthSource {
  // From any of the server's loops, within 0.2 ms.
  std::function<Serving(std::string_view service)> status;
  std::vector<std::string> listed;  // services that List tells of
};

// How often a Watch looks whether something has changed.
inline constexpr Nanos kWatchPeriod = Millis(250);

// Registers the three methods. Check of a service that is kServiceUnknown is NOT_FOUND, as the
// protocol says; Watch reports it as a status.
void add_health(Server& server, HealthSource source, const Clock& clock);

// Asks with Check. kNotFound: the server knows no such service; kInvalid: no answer of the
// protocol.
Task<Result<Serving>> check_health(Client& client, std::string service, Deadline deadline);

// What decides the health of an endpoint picker.
struct PickerState {
  bool pool_synced = false;
  bool protocol_fits = true;  // a parser speaks the pool's appProtocol
  bool plugins_ready = true;
  bool draining = false;
  bool elects_leader = false;
  bool leader = false;
};
inline constexpr std::string_view kExtProcService = "envoy.service.ext_proc.v3.ExternalProcessor";

// llm-d's rule for the names that probes and proxies ask for: "", "readiness" and the ext_proc
// service are readiness. "liveness" is unconditional under leader election; without it, it and any
// other name leave only the plugins out of readiness. With it, other names are unknown.
Serving picker_health(std::string_view service, const PickerState& state);
std::vector<std::string> picker_services(const PickerState& state);

}  // namespace baton::grpc
