// A process's spans on their way to a collector that listens on loopback, over HTTP and gRPC.

#include "net/otlp/exporter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <mutex>

#include "base/core/log.hpp"
#include "base/core/testing/temporary_folder.hpp"
#include "net/grpc/proto.hpp"
#include "net/grpc/server.hpp"
#include "net/http/server.hpp"
#include "net/http/testing/held_lookups.hpp"
#include "net/http/testing/raw_client.hpp"
#include "net/tls/testing/credentials.hpp"

namespace baton::otlp {
namespace {

using http::testing::eventually;
using ::testing::HasSubstr;

const SystemClock kClock;

std::vector<std::string> span_names(std::string_view request) {
  std::vector<std::string> out;
  const auto each = [](std::string_view message, std::uint32_t number, auto&& use) {
    proto::Reader reader(message);
    for (proto::Field field; reader.next(field);) {
      if (field.number == number) use(field.bytes);
    }
  };
  each(request, 1, [&](std::string_view of_process) {
    each(of_process, 2, [&](std::string_view of_scope) {
      each(of_scope, 2, [&](std::string_view span) {
        each(span, 5, [&](std::string_view name) { out.emplace_back(name); });
      });
    });
  });
  return out;
}

// What a collector answers next; when it has nothing left to say, that it took everything.
struct Script {
  std::mutex mutex;  // guards all of it
  std::deque<int> statuses;
  std::string response;
  std::vector<std::string> names;
  std::vector<std::string> keys;  // header api-key of each request
  int requests = 0;

  int take(std::string_view body, std::string_view key) {
    const std::lock_guard lock(mutex);
    ++requests;
    keys.emplace_back(key);
    int status = 200;
    if (!statuses.empty()) {
      status = statuses.front();
      statuses.pop_front();
    }
    if (status == 200) {
      for (auto& name : span_names(body)) names.push_back(std::move(name));
    }
    return status;
  }
  std::size_t seen() {
    const std::lock_guard lock(mutex);
    return names.size();
  }
  int asked() {
    const std::lock_guard lock(mutex);
    return requests;
  }
};

Task<void> collect(http::Exchange& exchange, Script* script) {
  auto body = co_await exchange.read_body(1 << 20);
  const auto& head = exchange.head();
  const bool fits = head.method == "POST" && head.path() == "/v1/traces" &&
                    head.headers.get("content-type") == "application/x-protobuf";
  const int status =
      fits && body ? script->take(*body, head.headers.get("api-key").value_or("")) : 404;
  (void)co_await exchange.respond({status, {}}, script->response);
}

Task<grpc::RpcStatus> collect_call(grpc::ServerStream& stream, Script* script) {
  const auto message = co_await stream.read();
  if (!message || !*message) co_return grpc::RpcStatus{grpc::StatusCode::kInternal, "no message"};
  const int status = script->take(**message, stream.metadata().get("api-key").value_or(""));
  if (status == 503) co_return grpc::RpcStatus{grpc::StatusCode::kUnavailable, "not now"};
  if (status == 400) co_return grpc::RpcStatus{grpc::StatusCode::kInvalidArgument, "not ever"};
  (void)co_await stream.write(script->response);
  co_return grpc::RpcStatus();
}

struct Log {
  Log() {
    log::redirect([this](std::string_view line) {
      const std::lock_guard lock(mutex);
      lines.emplace_back(line);
    });
  }
  ~Log() { log::redirect(nullptr); }
  std::size_t with(std::string_view text) {
    const std::lock_guard lock(mutex);
    return static_cast<std::size_t>(
        std::ranges::count_if(lines, [&](const std::string& line) { return line.contains(text); }));
  }
  std::mutex mutex;  // guards lines
  std::vector<std::string> lines;
};

// Takes connections, says nothing.
class Silent {
 public:
  Silent() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    const int yes = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    auto* address = reinterpret_cast<sockaddr*>(&at);
    if (::bind(fd_, address, size) != 0 || ::listen(fd_, 8) != 0) std::abort();
    if (::getsockname(fd_, address, &size) != 0) std::abort();
    port_ = ntohs(at.sin_port);
  }
  ~Silent() { ::close(fd_); }
  Silent(const Silent&) = delete;
  Silent& operator=(const Silent&) = delete;

  http::Endpoint endpoint() const { return {"127.0.0.1", port_}; }
  int accept() const { return ::accept(fd_, nullptr, nullptr); }

 private:
  const int fd_;
  std::uint16_t port_ = 0;
};

class ExporterTest : public ::testing::TestWithParam<Protocol> {
 protected:
  ExporterTest() { loop.start(); }
  ~ExporterTest() override {
    tracing.reset();
    stop_collector();
    loop.stop();
  }

  void start_collector(http::Endpoint at = {"127.0.0.1", 0},
                       std::shared_ptr<const tls::ServerContext> certificate = nullptr) {
    if (GetParam() == Protocol::kHttp) {
      http::Server::Config config;
      config.tls = std::move(certificate);
      over_http = std::make_unique<http::Server>(
          loop, kClock, std::move(config),
          [this](http::Exchange& exchange) { return collect(exchange, &script); });
      collector = *over_http->listen(at);
    } else {
      grpc::Server::Config config;
      config.tls = std::move(certificate);
      over_grpc = std::make_unique<grpc::Server>(std::vector{&loop}, kClock, std::move(config));
      over_grpc->handle("/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                        [this](grpc::ServerStream& s) { return collect_call(s, &script); });
      collector = *over_grpc->listen(at);
    }
  }
  void stop_collector() {
    if (over_http) over_http->stop({});
    if (over_grpc) over_grpc->stop({});
    over_http.reset();
    over_grpc.reset();
  }

  Settings settings() const {
    Settings out;
    out.protocol = GetParam();
    out.collector = collector;
    if (out.protocol == Protocol::kHttp) out.path = "/v1/traces";
    out.headers.set("api-key", "k");
    out.delay = Millis(5);
    out.timeout = std::chrono::seconds(5);
    out.resource = {{"service.name", "test"}};
    return out;
  }
  void start(Settings given) {
    auto made = Tracing::start(std::move(given), {kClock, random, registry, Millis(1)});
    ASSERT_TRUE(made) << made.error().message();
    tracing = *std::move(made);
  }
  void spans(int count, const std::string& name = "span") {
    for (int i = 0; i < count; ++i) {
      tracing->tracer().start(name, observe::SpanKind::kServer, {}, kClock.now());
    }
  }
  double counted(std::string_view name, std::string reason = "") {
    observe::Labels labels;
    if (!reason.empty()) labels = {{"reason", std::move(reason)}};
    return registry.counter(name, "", labels).value();
  }
  double dropped(std::string reason) {
    return counted("baton_trace_spans_dropped_total", std::move(reason));
  }
  double exported() { return counted("baton_trace_spans_exported_total"); }

  Log log_;
  SystemRandom random;
  observe::Registry registry;
  async::Loop loop{"collector"};
  Script script;
  http::Endpoint collector;
  std::unique_ptr<http::Server> over_http;
  std::unique_ptr<grpc::Server> over_grpc;
  std::unique_ptr<Tracing> tracing;
};

TEST_P(ExporterTest, SendsWhatEndsWithTheHeadersAskedFor) {
  start_collector();
  start(settings());
  spans(3);
  EXPECT_TRUE(eventually([&] { return script.seen() == 3; }));
  EXPECT_TRUE(eventually([&] { return exported() == 3; }));
  EXPECT_EQ(script.keys.front(), "k");
}

TEST_P(ExporterTest, FindsACollectorThatIsNamed) {
  start_collector();
  Settings named = settings();
  named.collector.host = "127.1";  // the system's resolver knows it, as no address is written so
  start(named);
  spans(1);
  EXPECT_TRUE(eventually([&] { return exported() == 1; }));
}

TEST_P(ExporterTest, SendsAFullBatchAtOnceAndNeverAGreaterOne) {
  start_collector();
  Settings slow = settings();
  slow.delay = std::chrono::minutes(5);
  slow.batch = 10;
  start(slow);
  spans(25);
  EXPECT_TRUE(eventually([&] { return script.seen() >= 20; }));
  tracing->stop(Deadline::in(kClock, std::chrono::seconds(20)));
  EXPECT_EQ(script.seen(), 25U);
  EXPECT_GE(script.asked(), 3);
}

TEST_P(ExporterTest, SendsAtTheEndWhatIsLeft) {
  start_collector();
  Settings slow = settings();
  slow.delay = std::chrono::minutes(5);
  start(slow);
  spans(7);
  tracing->stop(Deadline::in(kClock, std::chrono::seconds(20)));
  EXPECT_EQ(script.seen(), 7U);
}

TEST_P(ExporterTest, EndsInTimeWhileItsCollectorIsLookedUp) {
  http::testing::HeldLookups held;
  Settings named = settings();
  named.collector = {"slow.example", 4318};
  start(named);
  spans(1);
  ASSERT_TRUE(eventually([&] { return held.begun() == 1; }));

  tracing->stop(Deadline::in(kClock, Millis(20)));

  EXPECT_EQ(http::lookups_under_way(), 1U);
  EXPECT_EQ(dropped("unreachable"), 1);
}

TEST_P(ExporterTest, TriesAgainWhenTheCollectorAsksForIt) {
  script.statuses = {503, 503};
  start_collector();
  start(settings());
  spans(1);
  EXPECT_TRUE(eventually([&] { return exported() == 1; }));
  EXPECT_EQ(script.asked(), 3);
  EXPECT_EQ(counted("baton_trace_export_failures_total"), 2);
  EXPECT_EQ(log_.with("do not reach the collector"), 1U);
  EXPECT_EQ(log_.with("is there again"), 1U);
}

TEST_P(ExporterTest, DropsWhatTheCollectorRejectsAndGoesOn) {
  script.statuses = {400};
  start_collector();
  start(settings());
  spans(1, "bad");
  EXPECT_TRUE(eventually([&] { return dropped("rejected") == 1; }));
  spans(1, "good");
  EXPECT_TRUE(eventually([&] { return script.seen() == 1; }));
  EXPECT_EQ(script.names.front(), "good");
}

TEST_P(ExporterTest, CountsSpansThatACollectorLeavesOut) {
  proto::Writer(script.response).message(1, [](proto::Writer& partial) { partial.varint(1, 2); });
  start_collector();
  Settings slow = settings();
  slow.delay = std::chrono::minutes(5);
  slow.batch = 5;
  start(slow);
  spans(5);
  EXPECT_TRUE(eventually([&] { return exported() == 3; }));
  EXPECT_EQ(dropped("rejected"), 2);
}

TEST_P(ExporterTest, LosesSpansButSaysSoOnceWhileNoCollectorIsThere) {
  start_collector();
  stop_collector();
  Settings small = settings();
  small.queue = small.batch = 4;
  start(small);
  EXPECT_TRUE(eventually([&] {
    spans(8);
    return dropped("unreachable") > 0 && dropped("queue-full") > 0;
  }));
  EXPECT_EQ(log_.with("do not reach the collector"), 1U);

  start_collector(collector);
  EXPECT_TRUE(eventually([&] {
    spans(1);
    return exported() > 0;
  }));
  EXPECT_EQ(log_.with("is there again"), 1U);
}

TEST_P(ExporterTest, EndsByItsDeadlineBesideACollectorThatNeverAnswers) {
  const Silent silent;
  collector = silent.endpoint();
  start(settings());
  spans(3);
  const Mono begin = kClock.now();
  tracing->stop(Deadline::in(kClock, Millis(100)));
  EXPECT_LT(kClock.now() - begin, std::chrono::seconds(4));  // its timeout is 5 s
  EXPECT_EQ(dropped("unreachable"), 3);
  EXPECT_EQ(log_.with("spans are lost at the end"), 1U);
}

TEST_P(ExporterTest, LeavesAConnectionOnWhichNothingComes) {
  auto silent = std::make_unique<Silent>();
  collector = silent->endpoint();
  Settings hasty = settings();
  hasty.timeout = Millis(100);
  start(hasty);
  spans(1);
  const int dead = silent->accept();  // stays open
  silent.reset();
  start_collector(collector);

  EXPECT_TRUE(eventually([&] {
    spans(1);
    return exported() > 0;
  }));
  ::close(dead);
}

TEST_P(ExporterTest, VerifiesACollectorBehindTls) {
  const auto own = tls::testing::Credentials::make("collector", kClock);
  auto config = own.server();
  if (GetParam() == Protocol::kGrpc) config.alpn = {tls::kHttp2};
  start_collector({"127.0.0.1", 0}, tls::testing::must(tls::ServerContext::open(config, kClock)));
  const TemporaryFolder folder;
  const auto file = [&](const char* name, const std::string& text) {
    std::string path = folder.file(name);
    std::ofstream(path) << text;
    return path;
  };
  Settings secure = settings();
  secure.tls = true;
  secure.collector.host = "localhost";
  secure.authority_file = file("otlp-ca.pem", own.authority.certificate_pem);
  start(secure);
  spans(1);
  EXPECT_TRUE(eventually([&] { return exported() == 1; }));
  tracing.reset();

  const auto other = tls::testing::Credentials::make("other", kClock);
  secure.authority_file = file("otlp-other-ca.pem", other.authority.certificate_pem);
  start(secure);
  spans(1);
  EXPECT_TRUE(eventually([&] { return dropped("unreachable") == 1; }));
  EXPECT_EQ(script.asked(), 1);
}

TEST_P(ExporterTest, TakesANewAuthorityWithoutARestart) {
  const auto own = tls::testing::Credentials::make("collector", kClock);
  const auto other = tls::testing::Credentials::make("other", kClock);
  auto config = own.server();
  if (GetParam() == Protocol::kGrpc) config.alpn = {tls::kHttp2};
  start_collector({"127.0.0.1", 0}, tls::testing::must(tls::ServerContext::open(config, kClock)));
  const TemporaryFolder folder;
  Settings secure = settings();
  secure.tls = true;
  secure.collector.host = "localhost";
  secure.authority_file = folder.file("ca.pem");
  std::ofstream(secure.authority_file) << other.authority.certificate_pem;
  start(secure);
  spans(1);
  ASSERT_TRUE(eventually([&] { return dropped("unreachable") == 1; }));

  std::ofstream(secure.authority_file) << own.authority.certificate_pem;

  EXPECT_TRUE(eventually([&] {
    spans(1);
    return exported() > 0;
  }));
}

INSTANTIATE_TEST_SUITE_P(Protocols, ExporterTest,
                         ::testing::Values(Protocol::kHttp, Protocol::kGrpc),
                         [](const auto& which) {
                           return which.param == Protocol::kHttp ? "Http" : "Grpc";
                         });

}  // namespace
}  // namespace baton::otlp
