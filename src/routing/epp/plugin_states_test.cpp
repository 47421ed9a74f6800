#include "routing/epp/plugin_states.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/epp/testing/picker.hpp"
#include "routing/epp/testing/server_fixture.hpp"

namespace baton::epp {
namespace {

using testing::EppServerTest;

constexpr std::string_view kConfig =
    "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{name: mine, type: "
    "inflight-load-producer}, {type: token-load-scorer}, {type: prefix-cache-scorer}]\n";

TEST(PluginStates, EveryPluginIsThereAndThoseThatKnowSomethingTellIt) {  // epp:C016
  const ManualClock clock;
  observe::Registry registry;
  testing::Picker picker(clock, registry, kConfig);
  std::vector<testing::Pod> pods;
  for (std::size_t i = 0; i < kMostShown + 20; ++i) {
    pods.push_back({"p" + std::to_string(i), "10.0.0." + std::to_string(i % 250)});
  }
  picker.serve(pods);
  const auto snapshot = picker.pool.snapshot();
  const schedule::Reservation busy(snapshot.reservations, (*snapshot.endpoints)[0].slot, 7);
  const std::vector<std::size_t> remembered = {42};
  const auto told = plugin_states(picker.pool.setup(), snapshot, remembered, clock.wall());

  EXPECT_EQ(told.string_at({"timestamp"}), "2023-11-14T22:13:20.000000000Z");
  const auto plugin = [&](const char* name) { return told.find_path({"plugins", name}); };
  for (const auto* name :
       {"mine", "token-load-scorer", "prefix-cache-scorer", "approx-prefix-cache-producer",
        "max-score-picker", "single-profile-handler", "openai-parser", "utilization-detector"}) {
    ASSERT_NE(plugin(name), nullptr) << name;
    EXPECT_EQ(plugin(name)->string_at({"name"}), name);
  }
  EXPECT_EQ(plugin("mine")->string_at({"type"}), "inflight-load-producer");
  EXPECT_EQ(plugin("token-load-scorer")->string_at({"message"}),
            "plugin does not support state collection");
  const auto* load = plugin("mine")->find_path({"state", "endpoints", "llm/p0"});
  ASSERT_NE(load, nullptr);
  EXPECT_EQ(text::json::dump(*load), R"({"requests":1,"tokens":7})");
  const auto* state = plugin("mine")->find("state");
  ASSERT_NE(state, nullptr);
  EXPECT_EQ(state->find("endpoints")->if_object()->size(), kMostShown);  // a cap
  EXPECT_EQ(*state->find("totalEndpoints")->if_int(), static_cast<int>(kMostShown + 20));
  EXPECT_TRUE(*state->find("truncated")->if_bool());
  const auto* blocks = plugin("approx-prefix-cache-producer")->find_path({"state", "totalBlocks"});
  ASSERT_NE(blocks, nullptr);
  EXPECT_EQ(*blocks->if_int(), 42);
}

struct Said {
  int status = 0;
  std::string allow, body;
};

Task<Said> say(http::Client& client, const http::Endpoint& at, std::string method) {
  http::RequestHead head;
  head.method = std::move(method);
  head.target = "/debug/plugins/state";
  auto answer = co_await client.send(at, std::move(head), {}, testing::soon());
  if (!answer) co_return Said{};
  Said out{.status = answer->head().status,
           .allow = std::string(answer->head().headers.get("allow").value_or("")),
           .body = ""};
  if (auto body = co_await answer->read_all(1 << 20, testing::soon())) out.body = *std::move(body);
  co_return out;
}

TEST_F(EppServerTest, PluginStatesAreToldToGetOnly) {  // epp:C016
  start();
  server_->update(testing::one_endpoint());
  http::Client http(testing::kClock, http::Client::Config{});
  const auto said = [&](const char* method) {
    return async::blocking_run(loop_, say(http, bound_.metrics, method));
  };
  EXPECT_EQ(said("GET").status, 200);
  EXPECT_THAT(said("GET").body, ::testing::HasSubstr(R"("plugins":{")"));
  for (const auto* method : {"POST", "HEAD", "DELETE"}) {
    EXPECT_EQ(said(method).status, 405) << method;
    EXPECT_EQ(said(method).allow, "GET") << method;
  }
}

}  // namespace
}  // namespace baton::epp
