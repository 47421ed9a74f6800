// The kubelet's side of a probe: a connection of its own, one request, a bounded answer.

#include <fmt/format.h>

#include "base/async/blocking.hpp"
#include "base/async/loop.hpp"
#include "control/node/probe.hpp"
#include "net/grpc/client.hpp"
#include "net/grpc/health.hpp"
#include "net/http/blocking_client.hpp"
#include "net/http/blocking_connection.hpp"

namespace baton::node {

namespace {

Result<http::BlockingClient::Config> client_config(Scheme scheme, const Clock& clock) {
  http::BlockingClient::Config config{.idle_per_endpoint = 0};
  if (scheme == Scheme::kHttp) return config;
  // "The kubelet sends an HTTPS request skipping the certificate verification" (Kubernetes
  // documentation, Configure Liveness, Readiness and Startup Probes).
  BATON_TRY_ASSIGN(config.tls,
                   tls::ClientContext::open({.verify = tls::ClientContext::Verify::kNone}, clock));
  return config;
}

http::RequestHead request_of(const HttpTarget& target) {
  return {"GET", target.path, {{"User-Agent", "baton-probe"}, {"Connection", "close"}}};
}

Status grpc_probe(const ProbeSpec& spec, const Clock& clock, Deadline deadline) {
  async::Loop loop("probe");
  loop.start();
  grpc::Client::Config config;
  config.connect_timeout = spec.timeout;
  grpc::Client client(loop.executor(), clock, {spec.host, spec.port}, std::move(config));
  const auto told = async::blocking_run(loop, grpc::check_health(client, spec.service, deadline));
  async::blocking_run(loop, client.stop());
  if (!told) return told.error();
  if (*told == grpc::Serving::kServing) return {};
  return unavailable(fmt::format("service '{}' is not serving", spec.service));
}

}  // namespace

Result<Answer> blocking_get(const HttpTarget& target, Deadline deadline, const Clock& clock,
                            std::size_t limit) {
  BATON_TRY_ASSIGN(auto config, client_config(target.scheme, clock));
  http::BlockingClient client(clock, std::move(config));
  auto answer = client.send({target.host, target.port}, request_of(target), "", limit, deadline);
  if (!answer) return std::move(answer).error().error;
  return Answer{answer->head.status, std::move(answer->body)};
}

Status blocking_probe(const ProbeSpec& spec, const Clock& clock) {
  const auto deadline = Deadline::in(clock, spec.timeout);
  if (spec.kind == ProbeSpec::Kind::kTcp) {
    return http::BlockingConnection(clock).connect({spec.host, spec.port}, deadline);
  }
  if (spec.kind == ProbeSpec::Kind::kGrpc) return grpc_probe(spec, clock, deadline);
  BATON_TRY_ASSIGN(auto config, client_config(spec.scheme, clock));
  http::BlockingClient client(clock, std::move(config));
  const HttpTarget target{spec.host, spec.port, spec.path, spec.scheme};
  // The status says it all; the body is not waited for.
  const auto answer = client.open({spec.host, spec.port}, request_of(target), "", deadline);
  if (!answer) return answer.error().error;
  const int status = (*answer)->head().status;
  if (status >= 200 && status < 400) return {};
  return unavailable(fmt::format("GET {} answered {}", spec.path, status));
}

}  // namespace baton::node
