// Which pod gets a request when some are busy.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "routing/gateway/testing/stack.hpp"

namespace baton::gateway {
namespace {

using testing::eventually;
using testing::get;
using ::testing::HasSubstr;
using testing::kClock;
using testing::kLong;
using testing::ScriptedEngine;
using testing::Stack;
using testing::story;

TEST(Gateway, APromptIsNoLoadOnceItsAnswerHasBegun) {
  Stack stack;
  stack.service.picker = R"(
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: decode-filter}
- {type: prefix-cache-scorer}
- {type: token-load-scorer, parameters: {queueThresholdTokens: 200}}
schedulingProfiles:
- name: default
  plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer}, {pluginRef: token-load-scorer, weight: 10}]
)";
  auto script = story();
  script.never_ends = true;
  auto& d0 = stack.engine("d0", "decode", script);
  auto& d1 = stack.engine("d1", "decode", script);
  stack.start();
  std::vector<std::jthread> clients;
  clients.emplace_back([&] { stack.chat(kLong); });
  ASSERT_TRUE(eventually([&] {
    return stack.registry.expose().find("baton_gateway_first_byte_seconds_count 1") !=
           std::string::npos;
  }));
  const auto& busy = d0.seen().empty() ? d1 : d0;

  clients.emplace_back([&] { stack.chat(kLong.substr(0, 300)); });

  EXPECT_TRUE(eventually([&] { return d0.seen().size() + d1.seen().size() == 2; }));
  EXPECT_EQ(busy.seen().size(), 2U);  // it has the prefix
  stack.gateway().stop({kClock.now()});
}

TEST(Gateway, PrefersThePodWithTheShorterQueue) {
  Stack stack;
  ScriptedEngine::Script busy;
  busy.metrics = "vllm:num_requests_waiting 100\nvllm:num_requests_running 9\n";
  stack.engine("d0", "decode", busy);
  stack.engine("d1", "decode");
  stack.start();
  const auto scraped = [&] {
    return stack.registry.counter("baton_gateway_scrapes_total", "Engine metrics read.").value();
  };
  ASSERT_TRUE(eventually([&] { return scraped() >= 4; }));

  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(std::string(get(stack.chat("x"), "x-baton-decode")), HasSubstr("d1 "));
  }
}

}  // namespace
}  // namespace baton::gateway
