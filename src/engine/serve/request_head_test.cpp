#include "engine/serve/request_head.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/runtime/testing/rig.hpp"
#include "engine/serve/testing/served.hpp"

namespace baton::serve {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

http::Headers called(std::string id) { return {{"x-request-id", id}}; }

TEST(GivenId, IsTheHeadersOrElseTheBodys) {
  EXPECT_EQ(given_id(called("r 7"), "b"), "r 7");
  EXPECT_EQ(given_id({}, "b"), "b");
  EXPECT_EQ(given_id(called(""), "b"), "b");
  EXPECT_EQ(given_id({}, ""), std::nullopt);
}

TEST(GivenId, IsPrintableAndShortWhereverItComesFrom) {
  for (const std::string& wrong :
       {std::string("r\xc3\xa8"), std::string("\xff"), std::string("a\nb"), std::string("a\x7f"),
        std::string(201, 'x')}) {
    EXPECT_EQ(given_id(called(wrong), ""), std::nullopt);
    EXPECT_EQ(given_id({}, wrong), std::nullopt);
  }
  EXPECT_EQ(given_id(called(std::string(200, 'x')), ""), std::string(200, 'x'));
}

TEST(DeadlineOf, IsTheEarlierOfWhatClientAndProxyAllow) {
  const Mono then{std::chrono::seconds(5)};
  const auto at = [&](http::Headers headers) { return deadline_of(headers, then)->at; };

  EXPECT_EQ(at({}), Mono::max());
  EXPECT_EQ(at({{"x-request-timeout-ms", "300"}}), then + Millis(300));
  EXPECT_EQ(at({{"x-envoy-expected-rq-timeout-ms", "40"}}), then + Millis(40));
  EXPECT_EQ(at({{"x-request-timeout-ms", "300"}, {"x-envoy-expected-rq-timeout-ms", "40"}}),
            then + Millis(40));
  EXPECT_EQ(deadline_of({{"x-request-timeout-ms", "soon"}}, then).error().code(), Code::kInvalid);
}

// An answer that is not UTF-8 is broken for the sidecar, which then blames the engine.
TEST(RequestHead, AnIdThatIsNoPlainTextIsReplacedInTheAnswerAndTheLease) {
  Served s([](ServiceConfig& c, runtime::EngineConfig&) { c.request_id_headers = true; });
  const Reply reply =
      s.call("POST", "/v1/completions",
             R"({"prompt":"a","max_tokens":1,"kv_transfer_params":{"do_remote_decode":true}})",
             {{"content-type", "application/json"},
              {"x-request-id",
               "r\xe8"
               "7"}});

  ASSERT_EQ(reply.status, 200);
  EXPECT_THAT(std::string(reply.json().string_at({"id"})), MatchesRegex("cmpl-[0-9a-f]{32}"));
  EXPECT_THAT(std::string(reply.headers.get("x-request-id").value_or("")),
              MatchesRegex("[0-9a-f]{32}"));
  EXPECT_THAT(std::string(reply.json().string_at({"kv_transfer_params", "remote_request_id"})),
              MatchesRegex("cmpl-[0-9a-f]{32}-0-[0-9a-f]{8}"));
}

TEST(RequestHead, ALongIdGoesFromAPrefillToADecodeService) {
  for (const std::size_t length : {200U, 256U}) {
    Served prefill, decode;
    const http::Headers headers{{"content-type", "application/json"},
                                {"x-request-id", std::string(length, 'x')}};
    const auto ask = [&](Served& of, const std::string& params) {
      return of.call("POST", "/v1/chat/completions",
                     R"({"messages":[{"role":"user","content":"Hello world, this is a prompt"}],)"
                     R"("max_tokens":1,"kv_transfer_params":)" +
                         params + "}",
                     headers);
    };
    const Reply first = ask(prefill, R"({"do_remote_decode":true})");
    ASSERT_EQ(first.status, 200) << first.body;

    const Reply second = ask(decode, text::json::dump(*first.json().find("kv_transfer_params")));

    ASSERT_EQ(second.status, 200) << second.body;
    EXPECT_GT(second.number("x-baton-remote-tokens"), 0U);
  }
}

TEST(RequestHead, ARequestEndsAtTheDeadlineThatItsHeadSays) {
  const auto permits = std::make_shared<runtime::testing::Permits>(1);
  Served s({}, permits);
  const auto ask = [&](std::string milliseconds) {
    return s.call(
        "POST", "/v1/completions", R"({"prompt":"a","max_tokens":5})",
        {{"content-type", "application/json"}, {"x-request-timeout-ms", std::move(milliseconds)}});
  };
  Reply late;
  {
    const std::jthread client([&] { late = ask("1"); });
    EXPECT_TRUE(
        eventually([&] { return s.stats().running == 1 || s.stats().finished_error == 1; }));
    const Deadline passed = Deadline::in(kClock, Millis(2));
    EXPECT_TRUE(eventually([&] { return passed.passed(kClock.now()); }));
    permits->release(runtime::testing::kAllThatIsLeft);
  }

  EXPECT_EQ(late.status, 504) << late.body;
  EXPECT_EQ(late.json().string_at({"error", "type"}), "GatewayTimeoutError");
  EXPECT_EQ(ask("30000").status, 200);
  EXPECT_EQ(ask("0").status, 400);
  EXPECT_THAT(ask("0").error(), HasSubstr("x-request-timeout-ms: '0' is not a positive number"));
}

}  // namespace
}  // namespace baton::serve
