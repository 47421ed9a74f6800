#include "control/node/pre_stop.hpp"

#include <gtest/gtest.h>

#include "base/text/json.hpp"

namespace baton::node {
namespace {

kube::Object parse(const std::string& text) { return *text::json::parse(text); }

TEST(PreStop, KnowsASleepAndWhetherAnEngineIsBusy) {
  EXPECT_EQ(sleeping_pre_stop(
                parse(R"({"lifecycle":{"preStop":{"exec":{"command":["/bin/sleep","15"]}}}})")),
            Nanos(std::chrono::seconds(15)));
  EXPECT_EQ(sleeping_pre_stop(parse(R"({"lifecycle":{"preStop":{"sleep":{"seconds":3}}}})")),
            Nanos(std::chrono::seconds(3)));
  EXPECT_EQ(sleeping_pre_stop(parse(R"({"lifecycle":{"preStop":{"exec":{"command":["x","1"]}}}})")),
            std::nullopt);
  EXPECT_EQ(requests_in_work("# HELP vllm:num_requests_running\n"
                             "vllm:num_requests_running{model_name=\"a b\"} 2.0\n"
                             "vllm:num_requests_waiting{} 1\nother 5\n"),
            3);
}

}  // namespace
}  // namespace baton::node
