#include "control/webhook/storage_migration.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/text/yaml.hpp"
#include "formats/api/crd.hpp"
#include "net/kube/memory_cluster.hpp"
#include "net/kube/object.hpp"

namespace baton::webhook {
namespace {

using kube::Object;
using text::json::dump;

Object yaml(std::string_view text) { return *text::yaml::parse(text, "test"); }

// Counts what is written; can be told to refuse a name.
class Counting final : public kube::Cluster {
 public:
  explicit Counting(kube::Cluster& inner) : inner_(inner) {}
  Result<Object> get(const kube::ObjectKey& key, Deadline d) override { return inner_.get(key, d); }
  Result<kube::List> list(const kube::Query& query, Deadline d) override {
    return inner_.list(query, d);
  }
  Result<Object> create(const Object& o, kube::DryRun dry, Deadline d) override {
    return inner_.create(o, dry, d);
  }
  Result<Object> update(const Object& o, kube::DryRun dry, Deadline d) override {
    if (kube::name_of(o) == refused) return *refusal;
    written.push_back(std::string(kube::name_of(o)));
    return inner_.update(o, dry, d);
  }
  Result<Object> update_status(const Object& o, Deadline d) override {
    return inner_.update_status(o, d);
  }
  Result<Object> patch(const kube::ObjectKey& key, const Object& p, kube::DryRun dry,
                       Deadline d) override {
    return inner_.patch(key, p, dry, d);
  }
  Result<Object> create_subresource(const kube::ObjectKey& key, std::string_view sub,
                                    const Object& body, Deadline d) override {
    return inner_.create_subresource(key, sub, body, d);
  }
  Status remove(const kube::ObjectKey& key, const kube::Removal& how, Deadline d) override {
    return inner_.remove(key, how, d);
  }
  Result<std::unique_ptr<kube::Watch>> watch(const kube::Query& query, const kube::Version& from,
                                             Deadline d) override {
    return inner_.watch(query, from, d);
  }

  std::vector<std::string> written;
  std::string refused;
  std::optional<Error> refusal;

 private:
  kube::Cluster& inner_;
};

class MigrationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (Object one : api::crds({})) {
      ASSERT_TRUE(memory_.create(one, kube::DryRun::kNo, Deadline()));
      one["status"] = yaml("{storedVersions: [v1alpha1, v1alpha2], acceptedNames: {kind: K}}");
      ASSERT_TRUE(memory_.update_status(one, Deadline()));
    }
    for (const std::string_view name : {"a", "b"}) {
      Object one =
          yaml("{apiVersion: serving.kserve.io/v1alpha2, kind: LLMInferenceService, spec: {}}");
      one["metadata"] = text::json::Object{{"name", name}, {"namespace", "llm"}};
      ASSERT_TRUE(memory_.create(one, kube::DryRun::kNo, Deadline()));
    }
  }
  std::string stored(std::size_t definition) {
    const auto live = memory_.get(*kube::key_of(api::crds({})[definition]), Deadline());
    return dump(*live->find_path({"status", "storedVersions"}));
  }

  ManualClock clock_;
  SeededRandom random_{1};
  kube::MemoryCluster memory_{clock_, random_};
  Counting cluster_{memory_};
};

// llmisvc:C28
TEST_F(MigrationTest, RewritesEveryObjectAndThenDropsTheOldVersion) {
  EXPECT_TRUE(migrate_storage(cluster_, Deadline()));

  EXPECT_THAT(cluster_.written, ::testing::UnorderedElementsAre("a", "b"));
  EXPECT_EQ(stored(0), R"(["v1alpha2"])");
  EXPECT_EQ(stored(1), R"(["v1alpha2"])");
  // What else the status says stays.
  const auto live = memory_.get(*kube::key_of(api::crds({})[0]), Deadline());
  EXPECT_EQ(live->string_at({"status", "acceptedNames", "kind"}), "K");

  EXPECT_TRUE(migrate_storage(cluster_, Deadline()));
  EXPECT_EQ(cluster_.written.size(), 2U);
}

TEST_F(MigrationTest, KeepsTheOldVersionWhileAnObjectCannotBeWritten) {
  cluster_.refused = "a";
  cluster_.refusal = invalid("no");
  const Status done = migrate_storage(cluster_, Deadline());
  EXPECT_THAT(done.error().message(), ::testing::HasSubstr("LLMInferenceService llm/a: no"));
  EXPECT_THAT(cluster_.written, ::testing::ElementsAre("b"));
  EXPECT_EQ(stored(0), R"(["v1alpha1","v1alpha2"])");
  EXPECT_EQ(stored(1), R"(["v1alpha2"])");

  // Written by somebody else meanwhile, or gone: it is stored as v1alpha2, or not at all.
  for (const Error& other : {conflict("changed"), not_found("gone")}) {
    cluster_.refusal = other;
    EXPECT_TRUE(migrate_storage(cluster_, Deadline()));
  }
  EXPECT_EQ(stored(0), R"(["v1alpha2"])");
}

TEST(Migration, WaitsForADefinitionThatStoresTheNewVersion) {
  EXPECT_EQ(
      migration_of(yaml("{spec: {versions: [{name: v1alpha1, storage: true}, {name: v1alpha2, "
                        "storage: false}]}, status: {storedVersions: [v1alpha1]}}")),
      Migration::kWait);
  EXPECT_EQ(migration_of(yaml("{}")), Migration::kWait);
  EXPECT_EQ(migration_of(yaml("{spec: {versions: [{name: v1alpha2, storage: true}]}, status: "
                              "{storedVersions: [v1alpha1, v1alpha2]}}")),
            Migration::kRewrite);
  EXPECT_EQ(migration_of(yaml("{status: {storedVersions: [v1alpha2]}}")), Migration::kDone);
}

TEST_F(MigrationTest, IsDoneByAThreadOfItsOwn) {
  const SystemClock real;
  const StorageMigrator migrator(cluster_, real, {});
  const Deadline patience = Deadline::in(real, std::chrono::seconds(30));
  while (stored(1) != R"(["v1alpha2"])" && !patience.passed(real.now())) std::this_thread::yield();
  EXPECT_EQ(stored(0), R"(["v1alpha2"])");
  EXPECT_EQ(stored(1), R"(["v1alpha2"])");
}

}  // namespace
}  // namespace baton::webhook
