// Under which accounts pods run.

#include <gmock/gmock.h>

#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// llmisvc:A20 llmisvc:A21
TEST(Accounts, AreTheUsersWhereOneIsNamed) {
  const Plan own = planned("{prefill: {}, template: {serviceAccountName: mine}}");
  EXPECT_TRUE(child(own, "ServiceAccount", "s-kserve").is_null());
  EXPECT_EQ(pod(own, "s-kserve").string_at({"serviceAccountName"}), "mine");
  EXPECT_FALSE(child(own, "Role", "s-kserve-role").is_null());
  EXPECT_EQ(at(child(own, "RoleBinding", "s-kserve-rb"), {"subjects"}),
            R"([{"kind":"ServiceAccount","name":"mine","namespace":"ns"}])");

  const Plan split = planned("{prefill: {}}");
  EXPECT_FALSE(child(split, "ServiceAccount", "s-kserve").is_null());
  EXPECT_EQ(pod(split, "s-kserve").string_at({"serviceAccountName"}), "s-kserve");
  EXPECT_EQ(pod(split, "s-kserve-prefill").find("serviceAccountName"), nullptr);

  const Plan plain = planned("{}");
  EXPECT_TRUE(child(plain, "ServiceAccount", "s-kserve").is_null());
  EXPECT_TRUE(child(plain, "Role", "s-kserve-role").is_null());

  const Plan group = planned(
      "{worker: {serviceAccountName: workers}, template: {serviceAccountName: leaders}, "
      "parallelism: {pipeline: 2}}");
  EXPECT_TRUE(child(group, "ServiceAccount", "s-kserve-mn").is_null());
  for (const std::string_view place : {"leaderTemplate", "workerTemplate"}) {
    EXPECT_EQ(child(group, "LeaderWorkerSet", "s-kserve-mn")
                  .string_at({"spec", "leaderWorkerTemplate", place, "spec", "serviceAccountName"}),
              "leaders");
  }
  EXPECT_THAT(warnings(group), Contains(HasSubstr("workers run as leaders")));
}

// llmisvc:A19
TEST(Accounts, OfOursHaveThePullSecretsOfTheDefaultOne) {
  ServiceView v = view(
      "{worker: {}, parallelism: {pipeline: 2}, prefill: {worker: {}, parallelism: {pipeline: "
      "2}}}");
  ServiceView single = view("{prefill: {}}");
  v.accounts = {
      yaml("{metadata: {name: default, namespace: ns}, imagePullSecrets: [{name: pull}], "
           "secrets: [{name: hub}]}")};
  v.secrets = {yaml("{metadata: {name: hub, namespace: ns}, data: {}}")};
  single.accounts = v.accounts;
  single.secrets = v.secrets;
  for (const auto& [seen, name] :
       {std::pair(&v, "s-kserve-mn"), std::pair(&v, "s-kserve-mn-prefill"),
        std::pair(&single, "s-kserve")}) {
    const Value made = child(planned(*seen), "ServiceAccount", name);
    EXPECT_EQ(at(made, {"imagePullSecrets"}), R"([{"name":"pull"}])") << name;
    EXPECT_EQ(at(made, {"secrets"}), R"([{"name":"hub"}])") << name;
  }
  single.accounts = {yaml("{metadata: {name: default, namespace: ns}}")};
  EXPECT_EQ(child(planned(single), "ServiceAccount", "s-kserve").find("imagePullSecrets"), nullptr);
}

// llmisvc:A23
TEST(Accounts, ThatAreNotThereAreAnErrorOfTheirWorkload) {
  const auto failure = [](std::string_view spec) {
    ServiceView v = view(spec);
    v.accounts.emplace();
    const Attempt tried = attempt(v);
    return tried.failure
               ? std::string(reason(tried.failure->stage)) + ": " + tried.failure->error.message()
               : "";
  };
  EXPECT_THAT(failure("{template: {serviceAccountName: gone}}"),
              StartsWith("ReconcileSingleNodeWorkloadError: "
                         "/spec/template/serviceAccountName: failed to fetch existing "
                         "ServiceAccount ns/gone"));
  EXPECT_THAT(failure("{prefill: {template: {serviceAccountName: gone}}}"),
              HasSubstr("/spec/prefill/template/serviceAccountName: "));
  EXPECT_THAT(failure("{worker: {serviceAccountName: gone}, parallelism: {pipeline: 2}}"),
              StartsWith("ReconcileMultiNodeWorkloadError: /spec/worker/serviceAccountName: "));
  EXPECT_EQ(failure("{prefill: {}}"), "");
  // Nobody to ask.
  EXPECT_EQ(refusal(view("{template: {serviceAccountName: gone}}")), "accepted");
}

}  // namespace
}  // namespace baton::plan
