// What engines are asked beside their load, and where it shows.

#include <fmt/format.h>

#include <atomic>

#include "net/http/server.hpp"
#include "routing/epp/testing/server_fixture.hpp"

namespace baton::epp {
namespace {

using testing::EppServerTest;
using testing::get;
using ::testing::HasSubstr;
using testing::kClock;
using testing::one_endpoint;
using testing::soon;

// An engine's metrics, and its list of models.
class Engine {
 public:
  explicit Engine(async::Loop& loop)
      : server_(loop, kClock, http::Server::Config{},
                [this](http::Exchange& e) { return answer(e); }),
        at_(*server_.listen({"127.0.0.1", 0})) {}
  ~Engine() { server_.stop({kClock.now()}); }
  std::uint16_t port() const { return at_.port; }
  std::size_t connections() const { return server_.open_connections(); }
  int looks() const { return looks_; }  // at its metrics

 private:
  Task<void> answer(http::Exchange& exchange) {
    const auto path = exchange.head().path();
    if (path == "/metrics") ++looks_;
    const std::string_view text = path == "/v1/models" ? R"({"data":[{"id":"base"},{"id":"more"}]})"
                                  : path == "/metrics" ? "mine_queue 3\nmine_gpu{of=\"all\"} 0.75\n"
                                                       : "";
    (void)co_await exchange.respond({.status = text.empty() ? 404 : 200, .headers = {}}, text);
  }
  std::atomic<int> looks_ = 0;
  http::Server server_;
  http::Endpoint at_;
};

TEST_F(EppServerTest, EndpointsAreShownWithTheirModelsAndAttributes) {
  loop_.start();
  const Engine engine(loop_);
  service_.picker = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: queue-scorer}
- type: core-metrics-extractor
  parameters:
    defaultEngine: mine
    engineConfigs: [{name: mine, queuedRequestsSpec: mine_queue, customMetrics: [{attributeKey: gpu, metricSpec: "mine_gpu{of=all}"}]}]
- {type: models-data-source, parameters: {interval: 50ms}}
- {type: models-data-extractor}
dataLayer: {sources: [{pluginRef: models-data-source, extractors: [{pluginRef: models-data-extractor}]}]}
)";
  start();
  auto endpoints = one_endpoint();
  endpoints[0].port = engine.port();
  endpoints[0].labels = {{"tier", "gold"}};
  server_->update(endpoints);

  http::Client http(kClock, http::Client::Config{});
  std::string page;
  const auto whole = [&] {
    page = async::blocking_run(loop_, get(http, bound_.metrics, "/debug/endpoints")).value_or("");
    return page.find("models") != std::string::npos && page.find("waiting") != std::string::npos;
  };
  const auto limit = soon();
  while (!whole() && kClock.now() < limit.at) {
  }
  EXPECT_THAT(page,
              HasSubstr(fmt::format(R"("id":"llm/a","address":"127.0.0.1:{}")", engine.port())));
  EXPECT_THAT(page, HasSubstr(R"("labels":{"tier":"gold"})"));
  EXPECT_THAT(page, HasSubstr(R"("models":["base","more"])"));
  EXPECT_THAT(page, HasSubstr(R"("waiting":3)"));
  EXPECT_THAT(page, HasSubstr(R"("attributes":{"gpu":0.75})"));

  EXPECT_GT(engine.connections(), 0U);
  server_->stop({kClock.now()});  // closes what is kept to the engine, on the loop
  const auto closed = soon();
  while (engine.connections() > 0 && kClock.now() < closed.at) std::this_thread::yield();
  EXPECT_EQ(engine.connections(), 0U);
}

TEST_F(EppServerTest, AnEndpointThatLeavesAndComesBackIsPolledByOnePoller) {
  loop_.start();
  const Engine engine(loop_);
  config_.scrape_interval = Millis(10);
  start();
  auto endpoints = one_endpoint();
  endpoints[0].port = engine.port();
  const auto looked = [&](int more) {
    const int before = engine.looks();
    const auto limit = soon();
    while (engine.looks() < before + more && kClock.now() < limit.at) std::this_thread::yield();
    return engine.looks() >= before + more;
  };
  server_->update(endpoints);
  ASSERT_TRUE(looked(1));

  const auto since = kClock.now();
  for (int i = 0; i < 4; ++i) {
    server_->update({});
    server_->update(endpoints);
  }

  // A poller never looks sooner than an interval after its last look: each begins with one, and the
  // last one goes on.
  ASSERT_TRUE(looked(50));
  EXPECT_GE(kClock.now() - since, 40 * config_.scrape_interval);
}

TEST_F(EppServerTest, ListsOfModelsThatDoNotComeAreCounted) {
  service_.picker = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: queue-scorer}
- {type: models-data-source, parameters: {interval: 50ms}}
- {type: models-data-extractor}
dataLayer: {sources: [{pluginRef: models-data-source, extractors: [{pluginRef: models-data-extractor}]}]}
)";
  start();
  server_->update(one_endpoint());
  EXPECT_TRUE(
      counts("llm_d_epp_datalayer_poll_errors_total{source_type=\"models-data-source\"}", 2));
}

}  // namespace
}  // namespace baton::epp
