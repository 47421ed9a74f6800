// gRPC probes against a health server in this process.

#include <gtest/gtest.h>

#include <atomic>

#include "base/async/loop.hpp"
#include "control/node/probe.hpp"
#include "net/grpc/health.hpp"

namespace baton::node {
namespace {

class GrpcProbeTest : public ::testing::Test {
 protected:
  GrpcProbeTest() {
    grpc::add_health(server_,
                     {.status =
                          [this](std::string_view service) {
                            if (service != "readiness") return grpc::Serving::kServiceUnknown;
                            return serving_ ? grpc::Serving::kServing : grpc::Serving::kNotServing;
                          },
                      .listed = {}},
                     clock_);
    const auto at = server_.listen({"127.0.0.1", 0});
    EXPECT_TRUE(at);
    spec_.kind = ProbeSpec::Kind::kGrpc;
    spec_.host = "127.0.0.1";
    spec_.port = at->port;
    spec_.service = "readiness";
    spec_.timeout = std::chrono::seconds(10);
    loop_.start();
  }

  const SystemClock clock_;
  std::atomic<bool> serving_ = true;
  async::Loop loop_{"health"};
  grpc::Server server_{{&loop_}, clock_, {}};
  ProbeSpec spec_;
};

TEST_F(GrpcProbeTest, PassesOnlyWhileTheServiceServes) {
  const auto passed = blocking_probe(spec_, clock_);
  EXPECT_TRUE(passed) << passed.error().message();

  serving_ = false;
  const auto failed = blocking_probe(spec_, clock_);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(), "service 'readiness' is not serving");
}

TEST_F(GrpcProbeTest, FailsForAServiceThatNobodyKnows) {
  spec_.service = "other";
  EXPECT_EQ(blocking_probe(spec_, clock_).error().code(), Code::kNotFound);
}

TEST_F(GrpcProbeTest, FailsWhereNobodyListens) {
  server_.stop(Deadline{clock_.now()});
  EXPECT_FALSE(blocking_probe(spec_, clock_));
}

}  // namespace
}  // namespace baton::node
