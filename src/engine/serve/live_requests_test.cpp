// What the service says of the requests that it holds.

#include "formats/openai/live_requests.hpp"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "engine/runtime/testing/rig.hpp"
#include "engine/serve/testing/served.hpp"

namespace baton::serve {
namespace {

using namespace testing;
using openai::LiveRequest;
using openai::Phase;
using runtime::testing::kAllThatIsLeft;
using runtime::testing::Permits;

constexpr std::uint64_t kPrompt = 401;  // <bos> and 400 characters

class LiveRequestsTest : public ::testing::Test {
 protected:
  ~LiveRequestsTest() override {
    steps_->release(kAllThatIsLeft);
    decode_steps_->release(kAllThatIsLeft);
  }

  // Asks for two tokens beside the test; `on_head` is called when the answer begins.
  void ask(Served& of, std::string id, std::string params, Served::OnHead on_head = {}) {
    clients_.emplace_back([&of, id = std::move(id), params = std::move(params),
                           on_head = std::move(on_head)] {
      const std::string body = R"({"temperature":0,"max_tokens":2,"ignore_eos":true,"prompt":")" +
                               std::string(400, 'x') + R"(","kv_transfer_params":)" + params + "}";
      of.call("POST", "/v1/completions", body,
              {{"content-type", "application/json"},
               {"x-request-id", id},
               {"x-baton-announce-kv", "1"}},
              on_head);
    });
  }
  static std::vector<LiveRequest> told(Served& of) {
    const Reply reply = of.call("GET", "/baton/v1/requests");
    EXPECT_EQ(reply.status, 200);
    const auto read = openai::read_live_requests(reply.body);
    EXPECT_TRUE(read) << reply.body;
    return read.value_or(std::vector<LiveRequest>{});
  }
  static bool comes_to(Served& of, const std::vector<LiveRequest>& expected) {
    return eventually([&] { return told(of) == expected; });
  }

  const std::shared_ptr<Permits> steps_ = std::make_shared<Permits>(0);
  const std::shared_ptr<Permits> decode_steps_ = std::make_shared<Permits>(0);
  Served prefill_{[](ServiceConfig&, runtime::EngineConfig& e) { e.max_num_seqs = 1; }, steps_};
  Served decode_{{}, decode_steps_};
  std::promise<http::Headers> begun_;
  std::vector<std::jthread> clients_;
};

TEST_F(LiveRequestsTest, TellOfEachInWhichPhaseItIsAndHowFar) {
  EXPECT_TRUE(told(prefill_).empty());
  auto announced = begun_.get_future();
  ask(prefill_, "r1", R"({"do_remote_decode":true})",
      [&](const http::Headers& head) { begun_.set_value(head); });
  ASSERT_EQ(announced.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_TRUE(comes_to(prefill_, {{"r1", Phase::kPrefill, kPrompt, 0, 0}}));

  ask(prefill_, "r2", "null");
  EXPECT_TRUE(comes_to(
      prefill_, {{"r1", Phase::kPrefill, kPrompt, 0, 0}, {"r2", Phase::kQueue, kPrompt, 0, 0}}));

  const auto params = text::json::parse(announced.get().get("x-baton-announced-kv").value_or("{}"));
  ASSERT_TRUE(params && params->find("kv_transfer_params"));
  ask(decode_, "r1", text::json::dump(*params->find("kv_transfer_params")));
  EXPECT_TRUE(comes_to(decode_, {{"r1", Phase::kTransfer, kPrompt, 0, 0}}));
  steps_->release(2);
  EXPECT_TRUE(comes_to(decode_, {{"r1", Phase::kTransfer, kPrompt, 128, 0}}));
  steps_->release(kAllThatIsLeft);
  EXPECT_TRUE(comes_to(decode_, {{"r1", Phase::kPrefill, kPrompt, kPrompt - 1, 0}}));
  decode_steps_->release(1);
  EXPECT_TRUE(comes_to(decode_, {{"r1", Phase::kDecode, kPrompt, kPrompt, 1}}));
  decode_steps_->release(1);
  EXPECT_TRUE(comes_to(decode_, {}));
  EXPECT_TRUE(comes_to(prefill_, {}));
}

TEST(LiveRequests, AreForThoseWithAKeyWhereThereIsOne) {
  Served s([](ServiceConfig& c, runtime::EngineConfig&) { c.api_keys = {"secret"}; });
  EXPECT_EQ(s.call("GET", "/baton/v1/requests").status, 401);
  EXPECT_EQ(s.call("GET", "/baton/v1/requests", "", {{"authorization", "Bearer secret"}}).status,
            200);
}

}  // namespace
}  // namespace baton::serve
