// A service of one namespace: what lies in another one is neither read for it nor touched.

#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

class BoundaryTest : public ReconcileTest {
 protected:
  // What a service might reach for, in namespace "theirs", under the names that it would use.
  BoundaryTest() {
    for (const char* text : {
             "{apiVersion: v1, kind: Secret, metadata: {name: token}, data: {HF_TOKEN: aGlkZGVu}}",
             "{apiVersion: v1, kind: ConfigMap, metadata: {name: picker}, data: {epp: hidden}}",
             "{apiVersion: v1, kind: ServiceAccount, metadata: {name: robot, annotations: {a: "
             "hidden}}, secrets: [{name: token}]}",
             "{apiVersion: apps/v1, kind: Deployment, metadata: {name: storyteller-kserve}, spec: "
             "{replicas: 7}}",
             "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceServiceConfig, metadata: "
             "{name: base}, spec: {annotations: {hidden: 'yes'}}}",
         }) {
      auto object = parse(text);
      object["metadata"]["namespace"] = "theirs";
      create(object);
    }
  }
  std::vector<kube::Object> objects_in(const std::string& ns) {
    std::vector<kube::Object> out;
    for (const auto& kind : followed_kinds()) {
      for (const auto& item : cluster_.list({kind.type, ns, {}}, soon())->items) {
        out.push_back(item);
      }
    }
    return out;
  }
  std::vector<std::string> texts_in(const std::string& ns) {
    std::vector<std::string> out;
    for (const auto& object : objects_in(ns)) out.push_back(text::json::dump(object));
    return out;
  }
};

TEST_F(BoundaryTest, NothingOfAnotherNamespaceIsTouchedByAServicesWholeLife) {
  create_quickstart();
  const auto before = texts_in("theirs");
  ASSERT_GE(before.size(), 3U);
  settle();
  for (const auto& type : child_types()) {
    for (const auto& item : cluster_.list({type, "", {}}, soon())->items) {
      const auto ns = kube::namespace_of(item);
      if (ns == "theirs") continue;
      EXPECT_EQ(ns, type == kClusterRoleBinding ? "" : "default") << type.kind;
    }
  }
  ASSERT_TRUE(cluster_.remove({kService, "default", "storyteller"}, {}, soon()));
  (void)pass();
  (void)pass();
  EXPECT_EQ(texts_in("theirs"), before);
}

// The binding of team/a-llm and that of team-a/llm have one name.
TEST_F(BoundaryTest, ABindingOfTheSameNameIsInNobodysWay) {
  create_gateway();
  for (const auto& [ns, name, router] :
       {std::tuple("team", "a-llm", "{scheduler: {}}"), std::tuple("team-a", "llm", "")}) {
    auto object = parse(
        "{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService, metadata: {}, spec: "
        "{model: {uri: 'baton://storyteller', name: s}}}");
    object["metadata"]["namespace"] = ns;
    object["metadata"]["name"] = name;
    if (*router != 0) object["spec"]["router"] = parse(router);
    create(object);
  }
  const auto settle_all = [&] {
    for (int i = 0; i < 8; ++i) {
      catch_up();
      const auto done = reconciler_.reconcile(i < 4 ? "team/a-llm" : "team-a/llm");
      EXPECT_TRUE(done) << done.error().message();
    }
  };
  const auto bindings = [&] {
    std::vector<std::string> out;
    for (const auto& one : cluster_.list({kClusterRoleBinding, "", {}}, soon())->items) {
      out.push_back(text::json::dump(one));
    }
    return out;
  };
  settle_all();
  const auto before = bindings();
  ASSERT_EQ(before.size(), 1U);
  EXPECT_TRUE(cluster_.get({kDeployment, "team-a", "llm-kserve"}, soon()));
  change_part({kService, "team-a", "llm"}, kube::Part::kObject, [](kube::Object& o) {
    o["metadata"]["annotations"]["serving.kserve.io/stop"] = "true";
  });
  settle_all();
  EXPECT_FALSE(cluster_.get({kDeployment, "team-a", "llm-kserve"}, soon()));
  EXPECT_EQ(bindings(), before);
}

TEST_F(BoundaryTest, NoNameLeadsThere) {
  create_quickstart();
  const auto spec = *service().find("spec");
  for (const char* change : {
           "{baseRefs: [{name: base}]}",
           "{baseRefs: [{name: theirs/base}]}",
           "{baseRefs: [{name: ../theirs/base}]}",
           "{template: {serviceAccountName: robot}}",
           "{template: {serviceAccountName: theirs/robot}}",
           "{router: {scheduler: {config: {ref: {name: picker}}}}}",
           "{router: {scheduler: {config: {ref: {name: theirs/picker}}}}}",
           "{router: {scheduler: {template: {serviceAccountName: robot}}}}",
       }) {
    edit([&](kube::Object& o) {
      o["spec"] = spec;
      const auto patch = parse(change);
      for (const auto& [member, value] : *patch.if_object()) o["spec"][member] = value;
    });
    (void)pass();
    (void)pass();
    EXPECT_FALSE(kube::condition_is(service(), "Ready", "True"));
    EXPECT_THAT(text::json::dump(*service().find_path({"status", "conditions"})),
                AnyOf(HasSubstr("no LLMInferenceServiceConfig"), HasSubstr("no ConfigMap"),
                      HasSubstr("failed to fetch existing ServiceAccount default/")))
        << change;
    EXPECT_THAT(texts_in("default"), Each(Not(HasSubstr("hidden")))) << change;
  }
}

}  // namespace
}  // namespace baton::reconcile
