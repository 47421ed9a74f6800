#include "control/reconcile/deeds.hpp"

#include <fmt/format.h>

#include "control/reconcile/testing.hpp"

namespace baton::reconcile {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

class DeedsTest : public ReconcileTest {
 protected:
  static kube::Object child(std::string_view kind, std::string_view name) {
    kube::Object out;
    out["kind"] = kind;
    out["metadata"]["name"] = name;
    return out;
  }
  void tell() { deeds_.tell(recorder_, about_); }

  kube::Object about_ = parse(
      "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default, uid: u}, spec: {x: 1}}");
  Recorder recorder_{cluster_, clock_, registry_, Recorder::Write::kAtOnce};
  Deeds deeds_;
};

TEST_F(DeedsTest, AreOneEventOfASort) {
  deeds_.add("Created", child("Role", "a"));
  deeds_.add("Updated", child("Deployment", "b"));
  deeds_.add("Created", child("Service", "c"));
  tell();

  EXPECT_THAT(events("Created"), ElementsAre("Created Role a, Service c"));
  EXPECT_THAT(events("Updated"), ElementsAre("Updated Deployment b"));
  tell();
  EXPECT_THAT(events("Created"), SizeIs(1)) << "told once";
}

TEST_F(DeedsTest, OfLongNamesAreMoreEventsAndNoneIsLeftOut) {
  for (int i = 0; i < 20; ++i) {
    deeds_.add("Created", child("Secret", fmt::format("{}-{}", std::string(180, 'n'), i)));
  }
  tell();

  const auto told = events("Created");
  EXPECT_THAT(told, SizeIs(4));
  std::string joined;
  for (const auto& message : told) {
    EXPECT_LE(message.size(), kMaxEventMessage);
    EXPECT_THAT(message, StartsWith("Created Secret "));
    joined += message + ",";
  }
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(joined, HasSubstr(fmt::format("{}-{},", std::string(180, 'n'), i)));
  }
}

// A whole pass; upstream tells each child alone.
TEST_F(DeedsTest, OfAPassNameEveryChild) {
  create_quickstart();
  settle();

  const auto told = events("Created");
  ASSERT_THAT(told, SizeIs(1));
  for (const auto& type : child_types()) {
    for (const auto& item : cluster_.list({type, "", {}}, soon())->items) {
      EXPECT_THAT(told.front() + ",",
                  HasSubstr(fmt::format("{} {},", type.kind, kube::name_of(item))));
    }
  }
  EXPECT_GT(left().size(), 10U);

  ASSERT_TRUE(cluster_.remove({kService, "default", "storyteller"}, {}, soon()));
  EXPECT_TRUE(pass());
  EXPECT_THAT(events("Deleted"), ElementsAre(StartsWith("Deleted ClusterRoleBinding ")));
}

// What was done before a step failed is told, too.
TEST_F(DeedsTest, OfAPassThatFailsAreTold) {
  create_quickstart();
  EXPECT_TRUE(pass());
  troubled_.trouble = [](std::string_view verb, const kube::Object& object) -> Status {
    return verb == "create" && object.string_at({"kind"}) == "Deployment"
               ? Status(unavailable("no answer"))
               : Status();
  };
  EXPECT_FALSE(pass());
  ASSERT_THAT(events("Created"), SizeIs(1));
  EXPECT_THAT(events("Created").front(), HasSubstr("ServiceAccount "));
}

}  // namespace
}  // namespace baton::reconcile
