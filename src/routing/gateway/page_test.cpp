// The page at /ui and what it reads.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text/json.hpp"
#include "routing/gateway/testing/stack.hpp"

namespace baton::gateway {
namespace {

using ::testing::HasSubstr;
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

}  // namespace
}  // namespace baton::gateway
