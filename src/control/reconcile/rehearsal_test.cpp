#include "control/reconcile/rehearsal.hpp"

#include <algorithm>

#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class RehearsalTest : public ReconcileTest {
 protected:
  Rehearsed rehearse(const kube::Object& manifest) {
    auto out = reconcile::rehearse(cluster_, clock_, {}, std::span(&manifest, 1), soon());
    EXPECT_TRUE(out) << out.error().message();
    return out ? *out : Rehearsed();
  }
  kube::Object quickstart() {
    std::ifstream in(BATON_SOURCE_DIR "/examples/quickstart.yaml");
    auto service = parse({std::istreambuf_iterator<char>(in), {}});
    service["metadata"]["namespace"] = "default";
    return service;
  }
  static std::vector<std::string> names(const Rehearsed& rehearsed) {
    std::vector<std::string> out;
    for (const auto& change : rehearsed.changes) {
      out.push_back(change.key.type.kind + " " + change.key.name);
    }
    return out;
  }
  kube::Version version(const kube::Type& type) {
    return cluster_.list({type, "", {}}, soon())->version;
  }
};

TEST_F(RehearsalTest, OfANewServiceTellsTheServiceAndAllItsChildrenAndMakesNone) {
  create_gateway();
  const auto told = rehearse(quickstart());
  EXPECT_THAT(told.failures, IsEmpty());
  EXPECT_THAT(names(told), Contains("LLMInferenceService storyteller"));
  EXPECT_THAT(names(told), Contains("Deployment storyteller-kserve-prefill"));
  EXPECT_THAT(names(told), Contains("HTTPRoute storyteller-kserve-route"));
  for (const auto& change : told.changes) EXPECT_TRUE(change.before.is_null());
  EXPECT_FALSE(cluster_.get({kService, "default", "storyteller"}, soon()));
  EXPECT_THAT(cluster_.list({kDeployment, "", {}}, soon())->items, IsEmpty());
  EXPECT_THAT(cluster_.list({{"", "v1", "Event"}, "", {}}, soon())->items, IsEmpty());
}

TEST_F(RehearsalTest, OfWhatIsThereAlreadyTellsNothing) {
  create_quickstart();
  settle();
  EXPECT_THAT(names(rehearse(quickstart())), IsEmpty());
}

TEST_F(RehearsalTest, OfAScaledServiceTellsTheServiceAndTheOneDeployment) {
  create_quickstart();
  settle();
  const auto before = version(kDeployment);
  auto changed = quickstart();
  changed["spec"]["replicas"] = 5;
  const auto told = rehearse(changed);
  ASSERT_THAT(names(told), testing::ElementsAre("LLMInferenceService storyteller",
                                                "Deployment storyteller-kserve"));
  EXPECT_EQ(told.changes[1].before.find_path({"spec", "replicas"})->if_int(), 2);
  EXPECT_EQ(told.changes[1].after.find_path({"spec", "replicas"})->if_int(), 5);
  EXPECT_EQ(version(kDeployment), before);
}

TEST_F(RehearsalTest, TellsWhatWouldGo) {
  create_quickstart();
  settle();
  auto changed = quickstart();
  changed["spec"].if_object()->erase("prefill");
  const auto told = rehearse(changed);
  const auto gone = std::ranges::find_if(told.changes, [](const Change& change) {
    return change.key.name == "storyteller-kserve-prefill";
  });
  ASSERT_NE(gone, told.changes.end());
  EXPECT_TRUE(gone->after.is_null());
  EXPECT_EQ(deployment("storyteller-kserve-prefill").string_at({"kind"}), "Deployment");
}

TEST_F(RehearsalTest, TellsWhyAServiceWouldNotGetToItsEnd) {
  const auto told = rehearse(quickstart());  // there is no gateway
  ASSERT_EQ(told.failures.size(), 1);
  EXPECT_THAT(told.failures[0].message(), HasSubstr("default/storyteller: "));
  EXPECT_THAT(told.failures[0].message(), HasSubstr("kserve-ingress-gateway"));
  EXPECT_THAT(names(told), Not(Contains("HTTPRoute storyteller-kserve-route")));
}

}  // namespace
}  // namespace baton::reconcile
