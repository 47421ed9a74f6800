// Usage limits as a configuration gives them; what they do is in flow/flow_control_test.cpp.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/schedule/testing/configured.hpp"

namespace baton::schedule {
namespace {

using ::testing::HasSubstr;

Result<Scheduler> with_limit(std::string_view plugin) {
  return testing::try_make("featureGates: [flowControl]\nplugins: [{name: l, " +
                           std::string(plugin) +
                           "}]\nflowControl: {usageLimitPolicyPluginRef: l}\n");
}

UsageLimit limit(std::string_view plugin) {
  const auto made = with_limit(plugin);
  EXPECT_TRUE(made) << made.error().message();
  return made ? made->setup().flow->usage_limit : UsageLimit();
}

std::string problem(std::string_view parameters) {
  const auto made =
      with_limit("type: priority-holdback-policy, parameters: {" + std::string(parameters) + "}");
  return made ? "" : made.error().message();
}

TEST(UsageLimits, AreReadWithTheirDefaults) {  // epp:F007
  using Kind = UsageLimit::Kind;
  EXPECT_EQ(limit("type: priority-holdback-policy, parameters: {minCeiling: 0.4}"),
            (UsageLimit{.kind = Kind::kHoldback, .threshold = 1, .least = 0.4}));
  EXPECT_EQ(limit("type: priority-holdback-policy, parameters: {minCeiling: 0.4, maxCeiling: 0.9, "
                  "domain: value, shape: linear}"),
            (UsageLimit{.kind = Kind::kHoldback,
                        .threshold = 0.9,
                        .least = 0.4,
                        .domain = UsageLimit::Domain::kValue}));
  EXPECT_EQ(limit("type: soft-reflective-ceiling-policy").kind, Kind::kReflective);
}

TEST(UsageLimits, ThatCannotBeAreRefusedWithTheReason) {
  EXPECT_THAT(problem(""), HasSubstr("/minCeiling: it has to be given"));
  EXPECT_THAT(problem("minCeiling: 1"), HasSubstr("it must be below 1"));
  EXPECT_THAT(problem("minCeiling: 0.9, maxCeiling: 0.8"), HasSubstr("it is above maxCeiling"));
  EXPECT_THAT(problem("minCeiling: 0.5, shape: square"), HasSubstr("linear"));
}

}  // namespace
}  // namespace baton::schedule
