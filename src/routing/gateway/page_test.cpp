// The page at /ui and what it reads.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/text/json.hpp"
#include "formats/openai/live_requests.hpp"
#include "routing/gateway/testing/stack.hpp"

namespace baton::gateway {
namespace {

using openai::Phase;
using testing::eventually;
using ::testing::HasSubstr;
using testing::kClock;
using testing::ScriptedEngine;
using testing::Stack;
using testing::story;

TEST(Gateway, ShowsItsRequestsAndWhyTheyWentWhere) {
  Stack stack;
  stack.config.page = Page::kOn;
  stack.engine("d0", "decode", story());
  stack.engine("d1", "decode", story());
  stack.start();
  stack.chat("x", {{"x-request-id", "r1"}});
  stack.gateway().show(R"({"ready":true,"pods":[{"name":"d0"}]})");

  const auto state = text::json::parse(stack.send("GET", "/ui/state", "").body);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->find_path({"stack", "pods"})->if_array()->front().string_at({"name"}), "d0");
  const auto& request = state->find("requests")->if_array()->front();
  EXPECT_EQ(request.string_at({"id"}), "r1");
  EXPECT_EQ(request.string_at({"stage"}), "done");
  const auto why = text::json::parse(stack.send("GET", "/ui/requests/1", "").body);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->string_at({"record", "decision", "primary"}), request.string_at({"decode"}));
  EXPECT_EQ(why->find_path({"record", "endpoints"})->if_array()->size(), 2U);
  for (const char* path : {"/ui/requests/2", "/ui/requests/r1", "/ui/requests/", "/ui/../ui/state",
                           "/ui/requests/99999999999999999999", "/ui/nothing"}) {
    EXPECT_EQ(stack.send("GET", path, "").head.status, 404) << path;
  }
  EXPECT_EQ(stack.send("POST", "/ui", "").head.status, 405);
  const auto page = stack.send("GET", "/ui", "");
  EXPECT_THAT(page.body, HasSubstr("<title>Baton</title>"));
  EXPECT_THAT(std::string(page.head.headers.get("content-security-policy").value_or("")),
              HasSubstr("default-src 'none'"));
}

TEST(Gateway, ShowsThePageToAllButItsStateToThoseWithAKey) {
  Stack stack;
  stack.config.page = Page::kOn;
  stack.config.api_keys = {"secret"};
  stack.engine("d0", "decode", story());
  stack.start();

  EXPECT_EQ(stack.send("GET", "/ui/page.js", "").head.status, 200);
  EXPECT_EQ(stack.send("GET", "/ui/state", "").head.status, 401);
  EXPECT_EQ(stack.send("GET", "/ui/state", "", {{"authorization", "Bearer secret"}}).head.status,
            200);
}

TEST(Gateway, HasNoPageUnlessToldTo) {
  Stack stack;
  stack.engine("d0", "decode", story());
  stack.start();
  EXPECT_EQ(stack.send("GET", "/ui", "").head.status, 404);
  EXPECT_EQ(stack.send("GET", "/ui/state", "").head.status, 404);
}

// Of the first request, as /ui/state tells it; null: there is none.
text::json::Value first_request(Stack& stack) {
  const auto state = text::json::parse(stack.send("GET", "/ui/state", "").body);
  if (!state || state->find("requests")->if_array()->empty()) return {};
  return state->find("requests")->if_array()->front();
}

TEST(Gateway, ShowsWhatEnginesSayOfARequestUntilItIsAnswered) {
  Stack stack;
  stack.config.page = Page::kOn;
  ScriptedEngine::Script decode, prefill;
  decode.never_answers = true;
  decode.talk = openai::live_requests_json(std::vector<openai::LiveRequest>{
      {"another", Phase::kDecode, 7, 7, 3}, {"r1", Phase::kTransfer, 2048, 512, 0}});
  prefill.talk = openai::live_requests_json(
      std::vector<openai::LiveRequest>{{"r1", Phase::kPrefill, 2048, 600, 0}});
  stack.engine("d0", "decode", decode);
  stack.engine("p0", "prefill", prefill);
  stack.start();
  const std::jthread client([&] { stack.chat(std::string(500, 'x'), {{"x-request-id", "r1"}}); });

  text::json::Value request;
  EXPECT_TRUE(eventually([&] {
    request = first_request(stack);
    const auto* engines = request.find("engines");
    return engines != nullptr && engines->if_array()->size() == 2;
  }));
  EXPECT_EQ(text::json::dump(*request.find("engines")),
            R"([{"pod":"p0","phase":"prefill","promptTokens":2048,"readyTokens":600},)"
            R"({"pod":"d0","phase":"transfer","promptTokens":2048,"readyTokens":512}])");
  stack.gateway().stop({kClock.now()});
}

TEST(Gateway, AsksEnginesOfRequestsOnTheirWayOnlyAndNotAgainWhatCannotTell) {
  Stack stack;
  stack.config.page = Page::kOn;
  ScriptedEngine::Script script;
  auto& idle = stack.engine("d0", "decode", script);
  stack.start();
  stack.chat("x");
  for (int i = 0; i < 3; ++i) stack.send("GET", "/ui/state", "");
  EXPECT_EQ(idle.talks(), 0);

  Stack other;
  other.config.page = Page::kOn;
  script.never_answers = true;
  auto& cannot = other.engine("d0", "decode", script);
  other.start();
  const std::jthread client([&] { other.chat("x"); });
  EXPECT_TRUE(eventually([&] {
    other.send("GET", "/ui/state", "");
    return cannot.talks() == 1;
  }));
  for (int i = 0; i < 20; ++i) other.send("GET", "/ui/state", "");
  EXPECT_EQ(cannot.talks(), 1);
  EXPECT_TRUE(first_request(other).find("engines")->if_array()->empty());
  other.gateway().stop({kClock.now()});
}

}  // namespace
}  // namespace baton::gateway
