#include "net/grpc/health.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "base/async/blocking.hpp"
#include "net/grpc/client.hpp"
#include "net/grpc/proto.hpp"

namespace baton::grpc {
namespace {

const SystemClock kClock;
Deadline soon() { return Deadline::in(kClock, std::chrono::seconds(20)); }

std::string request(std::string_view service) {
  std::string out;
  proto::Writer(out).bytes(1, service);
  return out;
}

class HealthTest : public ::testing::Test {
 protected:
  HealthTest() {
    add_health(server_,
               {.status =
                    [this](std::string_view service) {
                      if (service == "unknown") return Serving::kServiceUnknown;
                      return serving_ ? Serving::kServing : Serving::kNotServing;
                    },
                .listed = {"a", "b"}},
               kClock);
    auto at = server_.listen({"127.0.0.1", 0});
    EXPECT_TRUE(at);
    loop_.start();
    client_ = std::make_unique<Client>(loop_.executor(), kClock, *at, Client::Config{});
  }
  ~HealthTest() override { async::blocking_run(loop_, client_->stop()); }

  Result<std::string> call(std::string_view method, std::string_view message) {
    const std::string path = "/grpc.health.v1.Health/" + std::string(method);
    return async::blocking_run(loop_, client_->unary(path, message, soon()));
  }

  std::atomic<bool> serving_ = true;
  async::Loop loop_{"health"};
  Server server_{{&loop_}, kClock, {}};
  std::unique_ptr<Client> client_;
};

TEST_F(HealthTest, ChecksAndLists) {
  EXPECT_EQ(*call("Check", request("")), "\x08\x01");
  serving_ = false;
  EXPECT_EQ(*call("Check", ""), "\x08\x02");
  EXPECT_EQ(call("Check", request("unknown")).error().code(), Code::kNotFound);
  EXPECT_EQ(call("Check", "\x0a\x05").error().code(), Code::kInvalid);
  EXPECT_EQ(*call("List", ""),
            "\x0a\x07\x0a\x01"
            "a\x12\x02\x08\x02"
            "\x0a\x07\x0a\x01"
            "b\x12\x02\x08\x02");
}

Task<std::string> watched(Client* client, std::atomic<bool>* serving) {
  auto stream = co_await client->open("/grpc.health.v1.Health/Watch", soon());
  if (!stream) co_return stream.error().message();
  auto written = co_await (*stream)->write(request("x"));
  (*stream)->finish_writing();
  std::string seen;
  for (int i = 0; i < 2; ++i) {
    auto next = co_await (*stream)->read();
    if (!next || !*next) co_return "ended";
    seen += **next;
    *serving = false;
  }
  co_return seen;
}

TEST_F(HealthTest, WatchesForChanges) {
  EXPECT_EQ(async::blocking_run(loop_, watched(client_.get(), &serving_)), "\x08\x01\x08\x02");
}

TEST(PickerHealth, FollowsTheNamesOfTheReference) {  // epp:C014
  struct Row {
    std::string_view service;
    PickerState state;
    Serving expected;
  };
  const PickerState alone{.pool_synced = true};
  const PickerState leads{.pool_synced = true, .elects_leader = true, .leader = true};
  const PickerState follows{.pool_synced = true, .elects_leader = true};
  const auto with = [](PickerState state, bool PickerState::* what, bool value) {
    state.*what = value;
    return state;
  };
  constexpr Serving kYes = Serving::kServing;
  constexpr Serving kNo = Serving::kNotServing;
  const Row rows[] = {
      {"", alone, kYes},
      {"readiness", alone, kYes},
      {kExtProcService, alone, kYes},
      {"liveness", alone, kYes},
      {"anything", alone, kYes},
      {"", with(alone, &PickerState::pool_synced, false), kNo},
      {"", with(alone, &PickerState::protocol_fits, false), kNo},
      {"", with(alone, &PickerState::plugins_ready, false), kNo},
      {"", with(alone, &PickerState::draining, true), kNo},
      {"liveness", with(alone, &PickerState::plugins_ready, false), kYes},
      {"liveness", with(alone, &PickerState::pool_synced, false), kNo},
      {"liveness", with(alone, &PickerState::draining, true), kNo},
      {"anything", with(alone, &PickerState::plugins_ready, false), kYes},
      {"anything", with(alone, &PickerState::draining, true), kNo},
      {"", leads, kYes},
      {"", follows, kNo},
      {kExtProcService, follows, kNo},
      {"readiness", with(leads, &PickerState::plugins_ready, false), kNo},
      {"liveness", follows, kYes},
      {"liveness", with(follows, &PickerState::draining, true), kYes},
      {"anything", leads, Serving::kServiceUnknown},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(picker_health(row.service, row.state), row.expected) << row.service;
  }
  EXPECT_EQ(picker_services(alone), std::vector<std::string>{std::string(kExtProcService)});
  EXPECT_EQ(picker_services(leads).size(), 3U);
}

}  // namespace
}  // namespace baton::grpc
