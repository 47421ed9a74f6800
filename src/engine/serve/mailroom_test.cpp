#include "engine/serve/mailroom.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/async/blocking.hpp"

namespace baton::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Notes which leases are given back.
class ScriptedEngine final : public runtime::Engine {
 public:
  void start(runtime::Sink& /*sink*/) override {}
  Status submit(runtime::GenerateRequest /*request*/) override { return {}; }
  void abort(std::string_view /*id*/) override {}
  Status release_lease(std::string_view request_id, std::string_view token) override {
    released.push_back(std::string(request_id) + "/" + std::string(token));
    return {};
  }
  runtime::Stats stats() const override { return {}; }
  const runtime::EngineConfig& config() const override { return config_; }
  const model::Config& model_config() const override { return model_; }
  bool healthy() const override { return true; }
  void stop(runtime::Drain /*drain*/, Deadline /*deadline*/) override {}

  std::vector<std::string> released;  // on the loop

 private:
  runtime::EngineConfig config_;
  model::Config model_;
};

class MailroomTest : public ::testing::Test {
 public:
  MailroomTest() { loop_.start(); }
  ~MailroomTest() override { loop_.stop(); }

  // The last event of a request that left a lease.
  void deliver_lease() {
    runtime::Event event;
    event.id = "r";
    event.finish = runtime::Finish::kLength;
    event.transfer.emplace();
    event.transfer->remote_request_id = "r";
    event.transfer->lease_token = "secret";
    std::vector<runtime::Event> events;
    events.push_back(std::move(event));
    room_.deliver(std::move(events));
  }
  // What is given back once all that was posted before has run.
  std::vector<std::string> released() {
    return async::blocking_run(loop_, [](ScriptedEngine& engine) -> Task<std::vector<std::string>> {
      co_return engine.released;
    }(engine_));
  }
  // A ticket that takes its letter and then is torn up, after the client got the params or not.
  void take_and_leave(bool handed_over) {
    async::blocking_run(loop_, [](MailroomTest& test, bool handed) -> Task<void> {
      async::Event arrived(test.loop_.executor());
      Ticket ticket(test.room_, "r", arrived);
      test.deliver_lease();
      while (!ticket.take()) co_await arrived.wait();
      if (handed) ticket.handed_over();
    }(*this, handed_over));
  }

  SystemClock clock_;
  async::Loop loop_{"test"};
  ScriptedEngine engine_;
  Mailroom room_{loop_, clock_, engine_};
};

TEST_F(MailroomTest, ALeaseWhoseClientLeftIsGivenBack) {
  deliver_lease();
  EXPECT_THAT(released(), ElementsAre("r/secret"));
}

TEST_F(MailroomTest, ALeaseThatNobodyReadIsGivenBack) {
  async::blocking_run(loop_, [](MailroomTest& test) -> Task<void> {
    async::Event arrived(test.loop_.executor());
    Ticket ticket(test.room_, "r", arrived);
    test.deliver_lease();
    co_await asio::post(test.loop_.context(), asio::use_awaitable);  // the letter arrives
  }(*this));
  EXPECT_THAT(released(), ElementsAre("r/secret"));
}

TEST_F(MailroomTest, ALeaseThatCouldNotBeSentIsGivenBack) {
  take_and_leave(false);
  EXPECT_THAT(released(), ElementsAre("r/secret"));
}

TEST_F(MailroomTest, ALeaseThatReachedTheClientIsTheirs) {
  take_and_leave(true);
  EXPECT_THAT(released(), IsEmpty());
}

}  // namespace
}  // namespace baton::serve
