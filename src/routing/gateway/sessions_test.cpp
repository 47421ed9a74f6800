// Decisions that depend on what a client's headers say, and what its answer tells for the next one.

#include <gtest/gtest.h>

#include <string>

#include "routing/gateway/testing/stack.hpp"

namespace baton::gateway {
namespace {

using testing::Stack;

TEST(GatewaySessions, AnAnswerCarriesTheTokenOfItsSessionWhichLeadsBack) {
  Stack stack;
  stack.service.picker = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: session-affinity-filter}, {type: random-picker}]
)";
  auto& one = stack.engine("one", "decode");
  auto& two = stack.engine("two", "decode");
  stack.start();

  const auto first = stack.chat("hello");
  EXPECT_EQ(first.head.status, 200);
  const std::string token(first.head.headers.get("x-session-token").value_or(""));
  ASSERT_FALSE(token.empty());
  auto& chosen = one.seen().empty() ? two : one;
  for (int turn = 0; turn < 12; ++turn) {
    EXPECT_EQ(stack.chat("hello", {{"X-Session-Token", token}}).head.headers.get("x-session-token"),
              token);
  }
  EXPECT_EQ(chosen.seen().size(), 13U);
}

}  // namespace
}  // namespace baton::gateway
