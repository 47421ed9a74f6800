// How long a request may take: who says, who is told, and what is left when its client leaves.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/gateway/testing/stack.hpp"

namespace baton::gateway {
namespace {

using ::testing::AllOf;
using testing::eventually;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Le;
using testing::ScriptedEngine;
using testing::Stack;

ScriptedEngine::Script silent() {
  ScriptedEngine::Script script;
  script.never_answers = true;
  return script;
}

int milliseconds(const testing::Seen& seen, std::string_view header) {
  return std::stoi(std::string(seen.head.headers.get(header).value_or("0")));
}

TEST(Gateway, TellsPodsHowLongARequestMayTake) {
  Stack stack;
  auto& engine = stack.engine("d0", "decode");
  stack.start();

  stack.chat("x", {{"x-envoy-expected-rq-timeout-ms", "7"}});
  stack.chat("x", {{"x-request-timeout-ms", "15000"}});

  const auto seen = engine.seen();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_THAT(milliseconds(seen[0], "x-envoy-expected-rq-timeout-ms"), AllOf(Gt(7), Le(20000)));
  EXPECT_FALSE(seen[0].head.headers.has("x-request-timeout-ms"));
  EXPECT_THAT(milliseconds(seen[1], "x-envoy-expected-rq-timeout-ms"), AllOf(Gt(7), Le(20000)));
  EXPECT_THAT(milliseconds(seen[1], "x-request-timeout-ms"), AllOf(Gt(7), Le(15000)));
}

TEST(Gateway, AClientMayAllowLess) {
  Stack stack;
  auto& engine = stack.engine("d0", "decode", silent());
  stack.start();

  EXPECT_EQ(stack.chat("x", {{"x-request-timeout-ms", "50"}}).head.status, 504);
  EXPECT_TRUE(eventually([&] { return engine.left() == 1; }));
  const auto wrong = stack.chat("x", {{"x-request-timeout-ms", "soon"}});
  EXPECT_EQ(wrong.head.status, 400);
  EXPECT_THAT(wrong.body, HasSubstr("'soon' is not a positive number of milliseconds"));
}

TEST(Gateway, GivesUpAtTheRequestsDeadline) {
  Stack stack;
  auto& engine = stack.engine("d0", "decode", silent());
  stack.config.request_timeout = std::chrono::milliseconds(100);
  stack.start();

  EXPECT_EQ(stack.chat("x").head.status, 504);
  EXPECT_TRUE(eventually([&] { return engine.left() == 1; }));
}

TEST(Gateway, LeavesThePodWhenTheClientLeaves) {
  Stack stack;
  ScriptedEngine::Script script;
  script.never_ends = true;
  auto& engine = stack.engine("d0", "decode", script);
  stack.start();
  stack.patience = std::chrono::milliseconds(100);

  EXPECT_FALSE(stack.chat("x").whole);
  EXPECT_TRUE(eventually([&] { return engine.left() == 1; }));
  EXPECT_TRUE(eventually([&] {
    return stack.registry.expose().find("baton_gateway_client_gone_total 1") != std::string::npos;
  }));
}

}  // namespace
}  // namespace baton::gateway
