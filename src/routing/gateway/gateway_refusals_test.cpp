// What a gateway refuses, and what its client sees when pods refuse or break.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/json.hpp"
#include "routing/gateway/testing/stack.hpp"

namespace baton::gateway {
namespace {

using testing::Answer;
using testing::eventually;
using testing::get;
using ::testing::HasSubstr;
using testing::kClock;
using testing::ScriptedEngine;
using testing::Stack;
using testing::story;

TEST(Gateway, ListsModelsAndRefusesOthersByName) {
  Stack stack;
  stack.engine("d0", "decode");
  stack.start();

  const auto models = text::json::parse(stack.send("GET", "/v1/models", "").body);
  ASSERT_TRUE(models);
  EXPECT_EQ(models->find("data")->if_array()->size(), 2);
  EXPECT_EQ(stack.send("GET", "/v1/models/m", "").head.status, 200);
  EXPECT_EQ(stack.send("GET", "/v1/models/nope", "").head.status, 404);
  const auto answer = stack.send("POST", "/v1/completions", R"({"model":"nope","prompt":"x"})");
  EXPECT_EQ(answer.head.status, 404);
  EXPECT_THAT(answer.body, HasSubstr("the model 'nope' is not served; served: alias, m"));
  EXPECT_EQ(get(answer, "x-baton-error-hop"), "gateway");
}

TEST(Gateway, RefusesWhatIsNoRequest) {
  Stack stack;
  stack.engine("d0", "decode");
  stack.start();

  EXPECT_EQ(stack.send("POST", "/v1/chat/completions", "{").head.status, 400);
  EXPECT_EQ(stack.send("POST", "/v1/chat/completions", "[]").head.status, 400);
  EXPECT_EQ(stack.send("POST", "/v1/completions", R"({"prompt":"x"})").head.status, 400);
  EXPECT_EQ(stack.send("POST", "/v1/nothing", "{}").head.status, 404);
  EXPECT_EQ(stack.send("GET", "/v1/completions", "").head.status, 405);
  EXPECT_EQ(stack.send("GET", "/health", "").head.status, 200);
  EXPECT_EQ(stack.send("POST", "/health", "{}").head.status, 405);
  const auto large = stack.send("POST", "/v1/completions", std::string((1 << 20) + 1, ' '));
  EXPECT_EQ(large.head.status, 413);
  const auto coded =
      stack.send("POST", "/v1/completions", "\x1f\x8b", {{"content-encoding", "gzip"}});
  EXPECT_EQ(coded.head.status, 415);
  EXPECT_THAT(coded.body, HasSubstr("'gzip'"));
  EXPECT_EQ(stack.chat("x", {{"content-encoding", "identity"}}).head.status, 200);
}

TEST(Gateway, AsksForAKeyAndKeepsItToItself) {
  Stack stack;
  auto& decode = stack.engine("d0", "decode");
  stack.config.api_keys = {"secret"};
  stack.start();

  const auto without = stack.chat("x");
  EXPECT_EQ(without.head.status, 401);
  EXPECT_THAT(without.body, HasSubstr("\"error\":{"));
  EXPECT_EQ(stack.send("GET", "/v1/models", "").head.status, 401);
  EXPECT_EQ(stack.send("GET", "/health", "").head.status, 200);
  EXPECT_EQ(stack.chat("x", {{"authorization", "Bearer secret"}}).head.status, 200);
  EXPECT_FALSE(decode.seen().at(0).head.headers.has("authorization"));
}

TEST(Gateway, SendsToAnotherPodWhenTheFirstRefuses) {
  Stack stack;
  auto& dead = stack.engine("d0", "decode");
  stack.engine("d1", "decode");
  dead.close();
  stack.start();

  for (int i = 0; i < 8; ++i) {
    const auto answer = stack.chat("x");
    EXPECT_EQ(answer.head.status, 200);
    EXPECT_THAT(std::string(get(answer, "x-baton-decode")), HasSubstr("d1 "));
  }
}

TEST(Gateway, SendsToAnotherPodWhenTheEngineBehindTheSidecarRefuses) {
  Stack stack;
  ScriptedEngine::Script script;
  script.head = {503, {{"content-type", "application/json"}, {"x-baton-error-hop", "decode"}}};
  script.pieces = {"{}"};
  stack.engine("d0", "decode", script);
  stack.engine("d1", "decode");
  stack.start();

  for (int i = 0; i < 8; ++i) {
    const auto answer = stack.chat("x");
    EXPECT_EQ(answer.head.status, 200);
    EXPECT_THAT(std::string(get(answer, "x-baton-decode")), HasSubstr("d1 "));
  }
}

TEST(Gateway, SaysWhenToComeBackIfNobodyAnswers) {
  Stack stack;
  stack.engine("d0", "decode").close();
  stack.start();
  const auto refused = stack.chat("x");
  EXPECT_EQ(refused.head.status, 503);
  EXPECT_EQ(get(refused, "retry-after"), "1");
  EXPECT_EQ(get(refused, "x-baton-error-hop"), "decode");

  Stack empty;
  empty.start();
  const auto nobody = empty.chat("x");
  EXPECT_EQ(nobody.head.status, 503);
  EXPECT_EQ(get(nobody, "retry-after"), "1");
  EXPECT_THAT(nobody.body, HasSubstr("no decode pod is ready (llm/story)"));
  EXPECT_FALSE(empty.gateway().ready());
}

TEST(Gateway, PassesAnUpstreamErrorOnVerbatim) {
  Stack stack;
  ScriptedEngine::Script script;
  script.head = {400, {{"content-type", "application/json"}, {"x-mine", "kept"}}};
  script.pieces = {"{ \"odd\" :  1}"};
  stack.engine("d0", "decode", script);
  stack.start();

  const auto answer = stack.chat("x");
  EXPECT_EQ(answer.head.status, 400);
  EXPECT_EQ(answer.body, "{ \"odd\" :  1}");
  EXPECT_EQ(get(answer, "x-mine"), "kept");
  EXPECT_EQ(get(answer, "x-baton-error-hop"), "decode");
}

TEST(Gateway, ABrokenStreamIsSeenAsBroken) {
  Stack stack;
  auto script = story();
  script.breaks_off = true;
  stack.engine("d0", "decode", script);
  stack.start();

  EXPECT_FALSE(stack.chat("x").whole);
}

TEST(Gateway, AWrongPickerConfigurationIsSaidToTheClient) {
  Stack stack;
  stack.engine("d0", "decode");
  stack.service.picker = "kind: Pod";
  watch::Topology topology{.services = {stack.service}};
  async::Loop loop("own");
  loop.start();
  SystemRandom random;
  Gateway gateway({loop, kClock, random, stack.registry}, stack.config, topology);
  stack.at = *gateway.start();
  Answer answer;
  EXPECT_TRUE(eventually([&] {
    answer = stack.chat("x");
    return answer.head.status == 503;
  }));

  EXPECT_THAT(answer.body, HasSubstr("picker configuration: test: /apiVersion: expected"));
  EXPECT_FALSE(gateway.picker_synced("llm", "story"));
  gateway.stop({kClock.now()});
}

}  // namespace
}  // namespace baton::gateway
