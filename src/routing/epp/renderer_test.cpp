#include "routing/epp/renderer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "base/async/event.hpp"
#include "base/core/log.hpp"
#include "base/text/json.hpp"
#include "net/http/server.hpp"
#include "routing/epp/testing/server_fixture.hpp"

namespace baton::epp {
namespace {

using ::testing::ElementsAre;
using testing::EppServerTest;
using ::testing::HasSubstr;
using testing::kClock;

constexpr std::string_view kTokens = R"([{"request_id":"x","token_ids":[7,8,4294967295]}])";

TEST(RenderedTokens, AreThoseOfTheOnePromptOfAnAnswer) {  // epp:K008
  EXPECT_THAT(*rendered_tokens(kTokens), ElementsAre(7U, 8U, 4294967295U));
  EXPECT_THAT(*rendered_tokens(R"({"token_ids":[1],"features":null})"), ElementsAre(1U));
  EXPECT_THAT(*rendered_tokens(R"({"token_ids":[1],"features":{"mm_hashes":{}}})"),
              ElementsAre(1U));
}

TEST(RenderedTokens, OfSeveralPromptsOrPicturesAreNotUsed) {  // epp:K008
  for (const auto* other : {R"([{"token_ids":[1]},{"token_ids":[2]}])", "[]",
                            R"({"token_ids":[1],"features":{"mm_hashes":{"image":["a"]}}})"}) {
    EXPECT_EQ(rendered_tokens(other).error().code(), Code::kUnsupported) << other;
  }
  for (const auto* bad : {"{}", "7", "[[]]", R"({"token_ids":[]})", R"({"token_ids":7})",
                          R"({"token_ids":[-1]})", R"({"token_ids":[1.5]})",
                          R"({"token_ids":[4294967296]})", R"({"token_ids":["1"]})", "no JSON"}) {
    EXPECT_EQ(rendered_tokens(bad).error().code(), Code::kInvalid) << bad;
  }
}

TEST(RendererConfig, IsAnAddressInTheClear) {
  const auto config = Renderer::config_of({.url = "http://render:9000/base/", .model = "m"});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->at, (http::Endpoint{"render", 9000}));
  EXPECT_EQ(config->path, "/base");
  EXPECT_FALSE(Renderer::config_of({.url = "http://", .model = "m"}));
  EXPECT_FALSE(Renderer::config_of({.url = "https://render", .model = "m"}));
}

// Answers as it is told, keeps what it got.
class ScriptedRenderer {
 public:
  ScriptedRenderer()
      : server_(loop_, kClock, {}, [this](http::Exchange& exchange) { return answer(exchange); }) {
    loop_.start();
    at_ = *server_.listen({"127.0.0.1", 0});
  }
  ~ScriptedRenderer() {
    server_.stop({Mono::min()});
    loop_.stop();
  }
  schedule::RenderServer about() const {
    return {.url = "http://" + http::to_string(at_), .model = "org/model"};
  }
  struct Got {
    std::string target, body, traceparent;
  };
  std::vector<Got> got() const {
    const std::lock_guard lock(mutex_);
    return got_;
  }
  std::size_t connections() const { return server_.open_connections(); }
  std::atomic<int> status = 200;
  std::atomic<bool> hangs = false;

 private:
  Task<void> answer(http::Exchange& exchange) {
    const auto body = co_await exchange.read_body(1 << 20);
    const auto& head = exchange.head();
    {
      const std::lock_guard lock(mutex_);
      got_.push_back({head.target, body.value_or(""),
                      std::string(head.headers.get("traceparent").value_or(""))});
    }
    if (hangs) {
      async::Event never(co_await asio::this_coro::executor);
      for (;;) co_await never.wait();
    }
    (void)co_await exchange.respond({status, {}}, kTokens);
  }

  async::Loop loop_{"renderer"};
  http::Endpoint at_;
  mutable std::mutex mutex_;
  std::vector<Got> got_;  // guarded by mutex_
  http::Server server_;
};

struct Asking {
  explicit Asking(schedule::RenderServer about) : renderer(kClock, *Renderer::config_of(about)) {
    loop.start();
  }
  std::optional<std::string> ask() {
    return async::blocking_run(
        loop, renderer.ask({.path = "/v1/completions/render", .body = "{}", .traceparent = "t"}));
  }
  async::Loop loop{"picker"};
  Renderer renderer;
};

TEST(Renderer, GivesTheServersAnswer) {  // epp:K008
  ScriptedRenderer server;
  Asking asking(server.about());
  EXPECT_EQ(asking.ask(), kTokens);
  ASSERT_EQ(server.got().size(), 1U);
  EXPECT_EQ(server.got()[0].target, "/v1/completions/render");
  EXPECT_EQ(server.got()[0].body, "{}");
  EXPECT_EQ(server.got()[0].traceparent, "t");
}

TEST(Renderer, GivesNothingForAnErrorSilenceOrNobody) {  // epp:K008
  ScriptedRenderer server;
  auto about = server.about();
  about.timeout = Millis(50);
  Asking asking(about);
  server.status = 500;
  EXPECT_EQ(asking.ask(), std::nullopt);
  server.status = 200;
  server.hangs = true;
  EXPECT_EQ(asking.ask(), std::nullopt);
  Asking nobody({.url = "http://127.0.0.1:1", .model = "m"});
  EXPECT_EQ(nobody.ask(), std::nullopt);
}

TEST(Renderer, IsNotDeadWhenItRefusesARequest) {
  ScriptedRenderer server;
  Asking asking(server.about());
  std::string logged;
  log::redirect([&](std::string_view line) { logged += line; });
  for (const int status : {400, 422}) {
    server.status = status;
    EXPECT_EQ(asking.ask(), std::nullopt);
  }
  EXPECT_EQ(logged, "");
  server.status = 500;
  EXPECT_EQ(asking.ask(), std::nullopt);
  EXPECT_THAT(logged, HasSubstr("answers 500"));
  log::redirect(nullptr);
}

// A picker that follows engines, whose prompts the server renders.
std::string follows(const schedule::RenderServer& server) {
  return R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: token-producer, parameters: {modelName: org/model, vllm: {url: ")" +
         server.url + R"(", timeout: 20s}}}
- {type: precise-prefix-cache-producer}
- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: precise-prefix-cache-producer}}
)";
}

class RenderedPrompts : public EppServerTest {
 protected:
  void serve() {
    service_.picker = follows(renderer_.about());
    start();
    server_->update(testing::one_endpoint());
  }
  std::vector<testing::Answer> ask(std::string_view path, std::string_view body) {
    auto answers = async::blocking_run(
        loop_, testing::talk(client(bound_.ext_proc, true),
                             {testing::headers(Side::kRequest, {{":path", std::string(path)}}),
                              testing::body(Side::kRequest, body, true)},
                             2));
    EXPECT_TRUE(answers) << answers.error().message();
    return answers ? *std::move(answers) : std::vector<testing::Answer>();
  }
  ScriptedRenderer renderer_;
};

TEST_F(RenderedPrompts, ComeFromTheServerByTheClientsOwnBody) {  // epp:K008
  serve();
  const auto answers =
      ask("/v1/chat/completions",
          R"({"model":"m","messages":[{"role":"user","content":"hi"}], "n": 1.50})");
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[0].header("x-gateway-destination-endpoint"), "127.0.0.1:9");
  ASSERT_EQ(renderer_.got().size(), 1U);
  EXPECT_EQ(renderer_.got()[0].target, "/v1/chat/completions/render");
  EXPECT_EQ(renderer_.got()[0].body,
            R"({"model":"org/model","messages":[{"role":"user","content":"hi"}], "n": 1.50})");
  EXPECT_TRUE(tells("baton_epp_prompt_tokenize_seconds_count 1"));
  EXPECT_TRUE(tells("baton_epp_untokenized_prompts_total 0"));
}

TEST_F(RenderedPrompts, AreNotAskedForWhereThePromptIsTokensOrMoreThanText) {  // epp:K008
  serve();
  (void)ask("/v1/completions", R"({"model":"m","prompt":[1,2,3]})");
  (void)ask("/v1/chat/completions",
            R"({"model":"m","messages":[{"role":"user","content":[{"type":"image_url",)"
            R"("image_url":{"url":"data:image/png;base64,aa"}}]}]})");
  EXPECT_TRUE(renderer_.got().empty());
}

TEST_F(RenderedPrompts, LeaveNoConnectionWhenThePickerStops) {
  serve();
  (void)ask("/v1/completions", R"({"model":"m","prompt":"hello"})");
  EXPECT_EQ(renderer_.connections(), 1U);
  server_->stop({kClock.now()});
  const auto limit = testing::soon();
  while (renderer_.connections() > 0 && kClock.now() < limit.at) std::this_thread::yield();
  EXPECT_EQ(renderer_.connections(), 0U);
}

TEST_F(RenderedPrompts, WithoutAnAnswerARequestGoesByItsBytes) {  // epp:K008
  renderer_.status = 503;
  serve();
  EXPECT_EQ(ask("/v1/completions", R"({"model":"m","prompt":"hello"})").size(), 2U);
  EXPECT_TRUE(tells("baton_epp_untokenized_prompts_total 1"));
}

}  // namespace
}  // namespace baton::epp
