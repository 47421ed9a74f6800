#include "control/plan/pool_migration.hpp"

#include <gtest/gtest.h>

#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

// A route behind gateway g whose one backend is pool p of `group`; `parents` is its status.
Value live(std::string_view group, std::string_view parents, std::string_view annotations = "{}") {
  Value route = yaml(
      "{metadata: {name: r, namespace: ns}, spec: {parentRefs: [{name: g, namespace: gn}], rules: "
      "[{backendRefs: [{kind: InferencePool, name: p}, {kind: Service, name: s}]}]}}");
  (*route["spec"]["rules"].if_array())[0]["backendRefs"].if_array()->front()["group"] = group;
  route["metadata"]["annotations"] = yaml(annotations);
  route["status"]["parents"] = yaml(parents);
  return route;
}

constexpr std::string_view kResolved =
    "[{parentRef: {name: g, namespace: gn}, conditions: [{type: ResolvedRefs, status: 'True'}]}]";
constexpr std::string_view kInvalidKind =
    "[{parentRef: {name: g, namespace: gn}, conditions: [{type: ResolvedRefs, status: 'False', "
    "reason: InvalidKind}]}]";

// llmisvc:E06
TEST(PoolSupport, IsWhatTheRoutesOwnGatewaysSay) {
  struct Case {
    std::string_view parents;
    PoolSupport expected;
  };
  const Case cases[] = {
      {kResolved, PoolSupport::kYes},
      {kInvalidKind, PoolSupport::kNo},
      {"[{parentRef: {name: g, namespace: gn}, conditions: [{type: ResolvedRefs, status: 'False', "
       "reason: BackendNotFound}]}]",
       PoolSupport::kYes},
      {"[]", PoolSupport::kUnknown},
      // Another gateway: left over, or the same name elsewhere.
      {"[{parentRef: {name: old, namespace: gn}, conditions: [{type: ResolvedRefs, status: "
       "'True'}]}]",
       PoolSupport::kUnknown},
      {"[{parentRef: {name: g}, conditions: [{type: ResolvedRefs, status: 'True'}]}]",
       PoolSupport::kUnknown},
      // A policy controller says nothing of references.
      {"[{parentRef: {name: g, namespace: gn}, conditions: [{type: Accepted, status: 'True'}]}]",
       PoolSupport::kUnknown},
      {"[{parentRef: {name: g, namespace: gn}, conditions: [{type: ResolvedRefs, status: "
       "Unknown}]}]",
       PoolSupport::kUnknown},
      // One gateway that understands is enough.
      {"[{parentRef: {name: g, namespace: gn}, conditions: [{type: ResolvedRefs, status: 'False', "
       "reason: InvalidKind}]}, {parentRef: {name: g, namespace: gn}, conditions: [{type: "
       "ResolvedRefs, status: 'True'}]}]",
       PoolSupport::kYes},
  };
  for (const Case& c : cases) {
    const Value route = live(kPoolGroupV1, c.parents);
    EXPECT_EQ(pool_support(&route, "p", kPoolGroupV1), c.expected) << c.parents;
  }
  EXPECT_EQ(pool_support(nullptr, "p", kPoolGroupV1), PoolSupport::kUnknown);
  const Value route = live(kPoolGroupV1, kResolved);
  EXPECT_EQ(pool_support(&route, "p", kPoolGroupX), PoolSupport::kUnknown);
  EXPECT_EQ(pool_support(&route, "other", kPoolGroupV1), PoolSupport::kUnknown);
}

// llmisvc:E02 llmisvc:E03 llmisvc:E04
TEST(PoolGroup, MovesToV1OnceAGatewayWantsThat) {
  const auto group = [](const Value& route) { return pool_group(&route, "p", XPools::kServed); };
  EXPECT_EQ(pool_group(nullptr, "p", XPools::kServed), kPoolGroupX);
  EXPECT_EQ(pool_group(nullptr, "p", XPools::kAbsent), kPoolGroupV1);

  EXPECT_EQ(group(live(kPoolGroupX, "[]")), kPoolGroupX);
  EXPECT_EQ(group(live(kPoolGroupX, kResolved)), kPoolGroupX);
  EXPECT_EQ(group(live(kPoolGroupX, kInvalidKind)), kPoolGroupV1);

  EXPECT_EQ(group(live(kPoolGroupV1, "[]")), kPoolGroupX);
  EXPECT_EQ(group(live(kPoolGroupV1, kInvalidKind)), kPoolGroupX);
  EXPECT_EQ(group(live(kPoolGroupV1, kResolved)), kPoolGroupV1);

  EXPECT_EQ(group(live(kPoolGroupX, kResolved, "{serving.kserve.io/inference-pool-migrated: v1}")),
            kPoolGroupV1);
}

}  // namespace
}  // namespace baton::plan
