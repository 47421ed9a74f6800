#include "net/grpc/health.hpp"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

#include "base/async/finish_by.hpp"
#include "net/grpc/proto.hpp"

namespace baton::grpc {

namespace {

constexpr std::uint32_t kServiceField = 1;   // HealthCheckRequest.service
constexpr std::uint32_t kStatusField = 1;    // HealthCheckResponse.status
constexpr std::uint32_t kStatusesField = 1;  // HealthListResponse.statuses, a map: key 1, value 2

Result<std::string> service_of(std::string_view request) {
  std::string service;
  proto::Reader reader(request);
  for (proto::Field field; reader.next(field);) {
    if (field.number == kServiceField && field.wire == proto::Wire::kBytes) service = field.bytes;
  }
  BATON_TRY(reader.status());
  return service;
}

std::string response_of(Serving status) {
  std::string out;
  proto::Writer(out).varint(kStatusField, static_cast<std::uint64_t>(status));
  return out;
}

std::string list_of(const HealthSource& source) {
  std::string out;
  proto::Writer writer(out);
  for (const std::string& service : source.listed) {
    writer.message(kStatusesField, [&](proto::Writer& entry) {
      entry.bytes(1, service);
      entry.bytes(2, response_of(source.status(service)));
    });
  }
  return out;
}

Task<RpcStatus> watch(std::shared_ptr<const HealthSource> source, const Clock* clock,
                      ServerStream& stream) {
  auto request = co_await stream.read();
  if (!request) co_return to_status(request.error());
  auto service = service_of(request->value_or(""));
  if (!service) co_return to_status(service.error());
  std::optional<Serving> told;
  for (;;) {
    const Serving now = source->status(*service);
    if (told != now) {
      const Status written = co_await stream.write(response_of(now));
      if (!written) co_return to_status(written.error());
      told = now;
    }
    co_await async::sleep_until(clock->now() + kWatchPeriod);
  }
}

}  // namespace

void add_health(Server& server, HealthSource source, const Clock& clock) {
  const auto shared = std::make_shared<const HealthSource>(std::move(source));
  server.handle("/grpc.health.v1.Health/Check",
                unary([shared](std::string_view request) -> Result<std::string> {
                  BATON_TRY_ASSIGN(const auto service, service_of(request));
                  const Serving status = shared->status(service);
                  if (status == Serving::kServiceUnknown) {
                    return not_found(fmt::format("no service '{}'", service));
                  }
                  return response_of(status);
                }));
  server.handle(
      "/grpc.health.v1.Health/List",
      unary([shared](std::string_view) -> Result<std::string> { return list_of(*shared); }));
  server.handle("/grpc.health.v1.Health/Watch",
                [shared, &clock](ServerStream& stream) { return watch(shared, &clock, stream); });
}

Task<Result<Serving>> check_health(Client& client, std::string service, Deadline deadline) {
  std::string request;
  proto::Writer(request).bytes(kServiceField, service);
  const auto answer = co_await client.unary("/grpc.health.v1.Health/Check", request, deadline);
  if (!answer) co_return answer.error();
  auto status = Serving::kUnknown;
  proto::Reader reader(*answer);
  for (proto::Field field; reader.next(field);) {
    if (field.number == kStatusField && field.wire == proto::Wire::kVarint) {
      status = static_cast<Serving>(field.number_value);
    }
  }
  if (const Status whole = reader.status(); !whole) co_return whole.error();
  co_return status;
}

Serving picker_health(std::string_view service, const PickerState& state) {
  const bool alive = state.pool_synced && state.protocol_fits && !state.draining &&
                     (!state.elects_leader || state.leader);
  const auto serving = [](bool good) { return good ? Serving::kServing : Serving::kNotServing; };
  if (service.empty() || service == "readiness" || service == kExtProcService) {
    return serving(alive && state.plugins_ready);
  }
  if (!state.elects_leader) return serving(alive);
  return service == "liveness" ? Serving::kServing : Serving::kServiceUnknown;
}

std::vector<std::string> picker_services(const PickerState& state) {
  std::vector<std::string> services{std::string(kExtProcService)};
  if (state.elects_leader) services.insert(services.end(), {"liveness", "readiness"});
  return services;
}

}  // namespace baton::grpc
