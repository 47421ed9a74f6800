#include "net/otlp/transport.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "net/grpc/client.hpp"
#include "net/http/client.hpp"
#include "net/otlp/encode.hpp"
#include "net/tls/renewed.hpp"

namespace baton::otlp {

namespace {

constexpr const char* kExport = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr Nanos kConnect = std::chrono::seconds(5);

Outcome taken(std::string_view response) {
  auto partial = decode_response(response);
  if (!partial) return {};  // it has the spans all the same
  return {.kind = Outcome::Kind::kTaken,
          .why = std::move(partial->message),
          .left_out = std::max<std::int64_t>(partial->rejected, 0)};
}

// OTLP/HTTP (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Response").
class HttpTransport final : public Transport {
 public:
  HttpTransport(const Settings& settings, const Clock& clock,
                std::shared_ptr<const tls::ClientContext> tls)
      : to_(settings.collector),
        client_(clock, {.connect_timeout = kConnect, .tls = std::move(tls)}) {
    head_.method = "POST";
    head_.target = settings.path;
    head_.headers = settings.headers;
    head_.headers.set("content-type", "application/x-protobuf");
  }

  Task<Outcome> send(std::string_view request, Deadline deadline) override {
    const std::array<std::string_view, 1> pieces = {request};
    auto answer = co_await client_.send(to_, head_, pieces, deadline);
    if (!answer) co_return later(answer.error());
    const auto body = co_await answer->read_all(kMaxResponse, deadline);
    if (!body) co_return later(body.error());
    const int status = answer->head().status;
    if (status >= 200 && status < 300) co_return taken(*body);
    constexpr std::array kAgain = {429, 502, 503, 504};
    const bool again = std::ranges::find(kAgain, status) != kAgain.end();
    co_return Outcome{.kind = again ? Outcome::Kind::kNotNow : Outcome::Kind::kRejected,
                      .why = fmt::format("HTTP status {}", status),
                      .after = retry_after(answer->head().headers)};
  }
  Task<void> stop() override { co_return; }

 private:
  static Outcome later(const http::Failure& failure) {
    return {.kind = Outcome::Kind::kNotNow, .why = failure.error.message()};
  }
  // In seconds; a date is not looked at.
  static std::optional<Nanos> retry_after(const http::Headers& headers) {
    const auto text = headers.get("retry-after").value_or("");
    std::uint32_t seconds = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return std::chrono::seconds(seconds);
  }

  const http::Endpoint to_;
  http::RequestHead head_;
  http::Client client_;
};

class GrpcTransport final : public Transport {
 public:
  GrpcTransport(const Settings& settings, const asio::any_io_executor& executor, const Clock& clock,
                std::shared_ptr<const tls::ClientContext> tls)
      : metadata_(settings.headers),
        client_(executor, clock, settings.collector,
                {.tls = std::move(tls),
                 .http2 = {},
                 .message_bytes = kMaxResponse,
                 .connect_timeout = kConnect}) {}

  Task<Outcome> send(std::string_view request, Deadline deadline) override {
    const auto answer = co_await client_.unary(kExport, request, deadline, metadata_);
    if (answer) co_return taken(*answer);
    // The codes that OTLP/gRPC calls retryable; RESOURCE_EXHAUSTED is not without a RetryInfo.
    constexpr std::array kAgain = {Code::kUnavailable, Code::kTimeout, Code::kCancelled,
                                   Code::kConflict};
    const bool again = std::ranges::find(kAgain, answer.error().code()) != kAgain.end();
    co_return Outcome{.kind = again ? Outcome::Kind::kNotNow : Outcome::Kind::kRejected,
                      .why = answer.error().message()};
  }
  Task<void> stop() override { co_await client_.stop(); }

 private:
  const http::Headers metadata_;
  grpc::Client client_;
};

Result<std::shared_ptr<const tls::ClientContext>> open_tls(const Settings& settings,
                                                           const Clock& clock) {
  if (!settings.tls) return std::shared_ptr<const tls::ClientContext>();
  tls::ClientContext::Config config;
  if (settings.protocol == Protocol::kGrpc) config.alpn = {tls::kHttp2};
  if (!settings.authority_file.empty()) {
    config.authority = tls::Source::of_file(settings.authority_file);
  }
  if (!settings.certificate_file.empty()) {
    config.certificate = tls::Source::of_file(settings.certificate_file);
    config.key = tls::Source::of_file(settings.key_file);
  }
  return tls::open_renewed(std::move(config), clock);
}

}  // namespace

Result<std::unique_ptr<Transport>> make_transport(const Settings& settings,
                                                  const asio::any_io_executor& executor,
                                                  const Clock& clock) {
  BATON_TRY_ASSIGN(auto tls, open_tls(settings, clock));
  if (settings.protocol == Protocol::kHttp) {
    return std::unique_ptr<Transport>(
        std::make_unique<HttpTransport>(settings, clock, std::move(tls)));
  }
  return std::unique_ptr<Transport>(
      std::make_unique<GrpcTransport>(settings, executor, clock, std::move(tls)));
}

}  // namespace baton::otlp
