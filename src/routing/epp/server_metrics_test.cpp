// What the picker's admin port tells, and to whom.

#include <fmt/format.h>

#include <fstream>

#include "routing/epp/testing/server_fixture.hpp"

namespace baton::epp {
namespace {

using testing::EppServerTest;
using ::testing::HasSubstr;
using testing::kClock;
using testing::kProcess;
using ::testing::Not;
using testing::one_endpoint;
using testing::soon;
using testing::status_of;

// A whole stream of a GET; what the metrics say while it is open.
Task<std::string> while_open(grpc::Client& client, const observe::Registry& registry) {
  auto call = co_await client.open(kProcess, soon());
  if (!call) co_return "";
  (void)co_await (*call)->write(testing::headers(Side::kRequest, {{":path", "/v1/models"}}, true));
  (void)co_await (*call)->read();
  auto text = registry.expose();
  (*call)->finish_writing();
  (void)co_await (*call)->read();
  co_return text;
}

TEST_F(EppServerTest, AReviewSaysWhoMayReadMetrics) {  // epp:C013
  using kube::AccessReview;
  using Verdict = AccessReview::Verdict;
  review_ = [](std::string_view token, std::string_view verb, std::string_view path) {
    EXPECT_EQ(verb, "get");
    if (token == "scraper" && path == "/metrics")
      return AccessReview::Answer{Verdict::kAllowed, ""};
    if (token == "scraper") return AccessReview::Answer{Verdict::kDenied, "not that"};
    if (token == "down") return AccessReview::Answer{Verdict::kFailed, "no server"};
    return AccessReview::Answer{Verdict::kUnknown, "nobody's"};
  };
  start();
  http::Client http(kClock, http::Client::Config{});
  const auto status = [&](const std::string& path, const std::string& authorization) {
    http::RequestHead head;
    head.target = path;
    if (!authorization.empty()) head.headers.add("authorization", authorization);
    return async::blocking_run(loop_, status_of(http, bound_.metrics, head));
  };
  EXPECT_EQ(status("/metrics", ""), 401);
  EXPECT_EQ(status("/metrics", "Basic scraper"), 401);
  EXPECT_EQ(status("/metrics", "Bearer nobody"), 401);
  EXPECT_EQ(status("/metrics", "Bearer scraper"), 200);
  EXPECT_EQ(status("/debug/decisions", "Bearer scraper"), 403);
  EXPECT_EQ(status("/metrics", "Bearer down"), 500);
}

TEST_F(EppServerTest, MetricsAreToldToClientsWithACertificateOnly) {  // epp:C013
  auto with = credentials_.server();
  with.client_authority = credentials_.client().authority;
  config_.metrics_tls = tls::testing::open_server(with, kClock);
  start();
  const auto status = [&](tls::ClientContext::Config own) {
    http::Client::Config config;
    config.tls = tls::testing::open_client(std::move(own), kClock);
    http::Client http(kClock, config);
    http::RequestHead head;
    head.target = "/metrics";
    return async::blocking_run(loop_, status_of(http, bound_.metrics, head));
  };
  EXPECT_EQ(status(credentials_.client()), -1);
  auto known = credentials_.client();
  known.certificate = credentials_.server().certificate;
  known.key = credentials_.server().key;
  EXPECT_EQ(status(known), 200);
}

TEST_F(EppServerTest, StreamsAreCountedAsCallsWhereThatIsAskedFor) {  // epp:C019
  config_.stream_metrics = config_.health_on_ext_proc = true;
  start();
  server_->update(one_endpoint());
  auto& proxy = client(bound_.ext_proc, true);
  EXPECT_EQ(health(proxy, ""), 1);  // no stream of ext_proc
  const auto shows = [&](std::string_view line) {
    const auto limit = soon();
    while (kClock.now() < limit.at) {
      if (registry_.expose().find("\nllm_d_epp_extproc_" + std::string(line) + "\n") !=
          std::string::npos) {
        return true;
      }
    }
    return false;
  };
  EXPECT_THAT(async::blocking_run(loop_, while_open(proxy, registry_)),
              HasSubstr("\nllm_d_epp_extproc_streams_inflight 1\n"));
  EXPECT_TRUE(shows("streams_total{code=\"OK\"} 1"));
  EXPECT_TRUE(shows("stream_duration_seconds_count 1"));
  EXPECT_TRUE(shows("streams_inflight 0"));
}

// Serves a metrics page over TLS, to whom shows its certificate.
class EnginePage {
 public:
  EnginePage(async::Loop& loop, const tls::testing::Credentials& credentials, std::string page)
      : page_(std::move(page)) {
    auto with = credentials.server();
    with.client_authority = credentials.client().authority;
    http::Server::Config config;
    config.tls = tls::testing::open_server(with, kClock);
    server_ = std::make_unique<http::Server>(loop, kClock, config,
                                             [this](http::Exchange& e) { return answer(e); });
    at_ = *server_->listen({"127.0.0.1", 0});
  }
  ~EnginePage() { server_->stop({kClock.now()}); }
  std::uint16_t port() const { return at_.port; }

 private:
  Task<void> answer(http::Exchange& exchange) {
    const bool known = exchange.head().path() == "/engine/metrics";
    (void)co_await exchange.respond({.status = known ? 200 : 500, .headers = {}}, page_);
  }
  const std::string page_;
  std::unique_ptr<http::Server> server_;
  http::Endpoint at_;
};

// A file with the text, in the test's folder.
std::string file_of(const std::string& name, const std::string& text) {
  const auto path = ::testing::TempDir() + name;
  std::ofstream(path) << text;
  return path;
}

TEST_F(EppServerTest, EnginesAreAskedWhereAndUnderWhichNamesTheConfigurationSays) {  // epp:L011
  loop_.start();
  {
    const EnginePage page(loop_, credentials_, "mine_queue{kind=\"waiting\"} 7\nmine_running 1\n");
    service_.picker = fmt::format(
        R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {{type: queue-scorer}}
- type: metrics-data-source
  parameters: {{scheme: https, path: /engine/metrics, port: {}, insecureSkipVerify: false, caCertPath: {},
                clientCertPath: {}, clientKeyPath: {}}}
- type: core-metrics-extractor
  parameters:
    engineConfigs: [{{name: mine, queuedRequestsSpec: "mine_queue{{kind=waiting}}", runningRequestsSpec: mine_running, kvUsageSpec: mine_usage}}]
dataLayer: {{sources: [{{pluginRef: metrics-data-source, extractors: [{{pluginRef: core-metrics-extractor}}]}}]}}
)",
        page.port(), file_of("ca.pem", credentials_.authority.certificate_pem),
        file_of("pair.pem", credentials_.pair.certificate_pem),
        file_of("pair.key", credentials_.pair.key_pem));
    start();
    auto endpoints = one_endpoint();
    endpoints[0].labels = {{"llm-d.ai/engine-type", "mine"}};
    server_->update(endpoints);
    EXPECT_TRUE(
        tells("llm_d_epp_per_endpoint_queue_size{name=\"pool\",model_server_endpoint=\"a\"} 7"));
    EXPECT_TRUE(
        tells("llm_d_epp_datalayer_poll_errors_total{source_type=\"metrics-data-source\"} 0"));
    // Its usage is missing: said in the metrics (epp:L007).
    EXPECT_THAT(registry_.expose(),
                Not(HasSubstr("extractor_type=\"core-metrics-extractor\"} 0\n")));
  }
  // Gone: each try is counted (epp:L010), the last numbers stay.
  EXPECT_TRUE(
      counts("llm_d_epp_datalayer_poll_errors_total{source_type=\"metrics-data-source\"}", 3));
}

}  // namespace
}  // namespace baton::epp
