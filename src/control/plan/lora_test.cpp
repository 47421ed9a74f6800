// Adapters and KV tiers in a pod.

#include <gmock/gmock.h>

#include "control/plan/build.hpp"
#include "control/plan/lora.hpp"
#include "control/plan/storage.hpp"
#include "control/plan/testing.hpp"

namespace baton::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using text::json::Array;
using text::json::dump;

constexpr std::string_view kAdapters =
    "adapters: [{name: z, uri: 'hf://o/z'}, {name: a, uri: 'pvc://claim/p'}]";

std::string adapted(std::string_view lora, std::string_view rest = "") {
  return "{model: {uri: 'hf://a/b', name: m, lora: {" + std::string(lora) + "}}" +
         std::string(rest) + "}";
}

// llmisvc:H11
TEST(Lora, TellsTheEngineOfEveryAdapterUnderBothNames) {
  const std::vector<std::string> modules = {
      "--lora-modules", R"('{"name":"a","path":"/mnt/lora/a"}')",
      R"('{"name":"publishers/ns/models/a","path":"/mnt/lora/a"}')",
      R"('{"name":"z","path":"/mnt/lora/z"}')",
      R"('{"name":"publishers/ns/models/z","path":"/mnt/lora/z"}')"};
  std::vector<std::string> expected = {"--enable-lora", "--max-lora-rank=8", "--max-loras=2",
                                       "--max-cpu-loras=4"};
  expected.insert(expected.end(), modules.begin(), modules.end());
  expected.emplace_back("--mine");
  const Plan all =
      planned(adapted(std::string(kAdapters) + ", maxRank: 8, maxAdapters: 2, maxCpuAdapters: 4",
                      ", prefill: {}, template: {containers: [{name: main, args: [--mine]}]}"));
  EXPECT_THAT(strings(main_of(all, "s-kserve"), "args"), ElementsAreArray(expected));
  EXPECT_THAT(strings(main_of(all, "s-kserve-prefill"), "args"), Contains("--lora-modules"));

  std::vector<std::string> plain = {"--enable-lora"};
  plain.insert(plain.end(), modules.begin(), modules.end());
  EXPECT_THAT(strings(main_of(planned(adapted(kAdapters)), "s-kserve"), "args"),
              ElementsAreArray(plain));

  for (const std::string_view own :
       {"args: [--lora-modules, x]", "command: [vllm, serve, /m, --lora-modules=x]",
        "env: [{name: VLLM_ADDITIONAL_ARGS, value: '--lora-modules x'}]"}) {
    const Plan users = planned(
        adapted(kAdapters, ", template: {containers: [{name: main, " + std::string(own) + "}]}"));
    EXPECT_THAT(strings(main_of(users, "s-kserve"), "args"), Not(Contains("--enable-lora"))) << own;
  }
  // No shell would take the quotes away.
  const Plan direct = planned(
      adapted(kAdapters, ", template: {containers: [{name: main, command: [vllm, serve]}]}"));
  EXPECT_THAT(strings(main_of(direct, "s-kserve"), "args"),
              Contains(R"({"name":"a","path":"/mnt/lora/a"})"));
}

TEST(Lora, IsFetchedTogetherWithTheModelOrMounted) {
  const Plan p = planned(adapted(kAdapters));
  EXPECT_THAT(strings(initializer(p), "args"),
              ElementsAre("hf://a/b", "/mnt/models", "hf://o/z", "/mnt/lora/z"));
  EXPECT_EQ(dump(mount_of(initializer(p), "kserve-provision-location")),
            R"({"mountPath":"/mnt","name":"kserve-provision-location"})");
  // A claim cannot be mounted inside a read-only volume: each folder by itself.
  const Value main = main_of(p, "s-kserve");
  const Array& all = *main.find("volumeMounts")->if_array();
  ASSERT_GE(all.size(), 3U);
  EXPECT_EQ(
      dump(Value(Array(all.end() - 3, all.end()))),
      R"([{"mountPath":"/mnt/lora/a","name":"lora-pvc-a","readOnly":true,"subPath":"p"},)"
      R"({"mountPath":"/mnt/models","name":"kserve-provision-location","readOnly":true,"subPath":"models"},)"
      R"({"mountPath":"/mnt/lora/z","name":"kserve-provision-location","readOnly":true,"subPath":"lora/z"}])");
  const Plan fetched = planned(adapted("adapters: [{name: z, uri: 'hf://o/z'}]"));
  EXPECT_EQ(dump(mount_of(main_of(fetched, "s-kserve"), "kserve-provision-location")),
            R"({"mountPath":"/mnt","name":"kserve-provision-location","readOnly":true})");
  // Nor can a KV tier, or what the user mounts there.
  for (const std::string_view rest :
       {", kvCacheOffloading: {cpu: 1Gi, secondary: [{fileSystem: {emptyDir: {}}}]}",
        ", template: {containers: [{name: main, volumeMounts: [{name: own, mountPath: /mnt/own}]}],"
        " volumes: [{name: own, emptyDir: {}}]}"}) {
    const Value beside =
        main_of(planned(adapted("adapters: [{name: z, uri: 'hf://o/z'}]", rest)), "s-kserve");
    std::vector<std::string> mounts;
    for (const Value& one : items(beside.find("volumeMounts"))) {
      if (one.string_at({"name"}) == "kserve-provision-location") mounts.push_back(dump(one));
    }
    EXPECT_THAT(
        mounts,
        ElementsAre(
            R"({"mountPath":"/mnt/models","name":"kserve-provision-location","readOnly":true,"subPath":"models"})",
            R"({"mountPath":"/mnt/lora/z","name":"kserve-provision-location","readOnly":true,"subPath":"lora/z"})"))
        << rest;
  }
  const Plan odd = planned(adapted("adapters: [{name: Team/A, uri: 'pvc://claim'}]"));
  EXPECT_THAT(dump(*pod(odd, "s-kserve").find("volumes")),
              ::testing::ContainsRegex("\"lora-pvc--eam---[0-9a-f]{8}\""));

  // Beside a model that is not downloaded, the adapters still are.
  for (const std::string uri : {"pvc://c", "oci://reg/m"}) {
    const Plan beside = planned("{model: {uri: '" + uri +
                                "', name: m, lora: {adapters: [{name: x, uri: 's3://b/x'}, {name: "
                                "w, uri: 'hf://o/w'}]}}}");
    EXPECT_THAT(strings(initializer(beside), "args"),
                ElementsAre("hf://o/w", "/mnt/lora/w", "s3://b/x", "/mnt/lora/x"));
    const std::string volume =
        uri.starts_with("oci") ? "lora-location" : "kserve-provision-location";
    EXPECT_EQ(mount_of(main_of(beside, "s-kserve"), volume).string_at({"mountPath"}), "/mnt/lora");
  }
}

// llmisvc:H12
TEST(Lora, MakesFoldersOfNames) {
  const auto folder = [](std::string_view name) {
    const auto adapters = lora_adapters(yaml(
        "{model: {lora: {adapters: [{uri: 'hf://a/b', name: '" + std::string(name) + "'}]}}}"));
    return adapters ? (*adapters)[0].path : adapters.error().message();
  };
  EXPECT_EQ(folder("org/My_adapter-1.0"), "/mnt/lora/org-My_adapter-1.0");
  EXPECT_EQ(folder(""), "/mnt/lora/adapter");
  EXPECT_EQ(folder("."), "/mnt/lora/adapter");
  EXPECT_EQ(folder(".."), "/mnt/lora/adapter");
  EXPECT_EQ(folder("../x"), "/mnt/lora/..-x");
}

TEST(Lora, RefusesAdaptersThatCannotBeHadWhereTheServiceIsPutTogether) {
  const auto failed = [](std::string_view spec) {
    const Attempt tried = attempt(view(spec));
    EXPECT_TRUE(tried.failure && tried.failure->stage == Stage::kCombine);
    return tried.failure ? tried.failure->error.message() : "";
  };
  EXPECT_THAT(failed(adapted("adapters: [{name: a, uri: 'oci://a'}]")),
              StartsWith("/spec/model/lora/adapters/0/uri: adapters do not come out of images"));
  EXPECT_THAT(failed(adapted("adapters: [{name: a, uri: 'ftp://a'}]")),
              HasSubstr("unsupported scheme 'ftp'"));
  EXPECT_THAT(failed(adapted("adapters: [{name: a, uri: here}]")), HasSubstr("expected scheme://"));
  EXPECT_THAT(failed(adapted("adapters: [{name: a, uri: 'hf://a'}]",
                             ", storageInitializer: {enabled: false}")),
              HasSubstr("storageInitializer.enabled false"));
  EXPECT_THAT(failed(adapted("adapters: [{name: a/b, uri: 'hf://a'}, {name: a-b, uri: 'hf://a'}]")),
              HasSubstr("two names become the folder /mnt/lora/a-b"));
}

// ---- KV tiers ----

// llmisvc:H13
TEST(Tiers, HaveAVolumeAndAMountEach) {
  const Plan p = planned(
      "{kvCacheOffloading: {cpu: 1Gi, secondary: [{fileSystem: {emptyDir: {size: 5Gi}}}, "
      "{fileSystem: {pvc: {ref: {name: c, path: d}}}}, {fileSystem: {pvc: {spec: "
      "{storageClassName: x}}}}]}, prefill: {kvCacheOffloading: {cpu: 1Gi, secondary: "
      "[{fileSystem: {emptyDir: {}}}]}}}");
  const Value spec = pod(p, "s-kserve");
  const Value* volumes = spec.find("volumes");
  EXPECT_EQ(at(*named(volumes, "kv-cache-secondary-0"), {"emptyDir"}), R"({"sizeLimit":"5Gi"})");
  EXPECT_EQ(at(*named(volumes, "kv-cache-secondary-1"), {"persistentVolumeClaim"}),
            R"({"claimName":"c"})");
  EXPECT_EQ(
      at(*named(volumes, "kv-cache-secondary-2"), {"ephemeral", "volumeClaimTemplate", "spec"}),
      R"({"storageClassName":"x"})");
  const Value main = main_of(p, "s-kserve");
  EXPECT_EQ(at(main, {"resources", "requests"}), R"({"ephemeral-storage":"5Gi"})");
  EXPECT_EQ(dump(mount_of(main, "kv-cache-secondary-0")),
            R"({"mountPath":"/mnt/kv-cache-0","name":"kv-cache-secondary-0"})");
  EXPECT_EQ(dump(mount_of(main, "kv-cache-secondary-1")),
            R"({"mountPath":"/mnt/kv-cache-1","name":"kv-cache-secondary-1","subPath":"d"})");
  EXPECT_EQ(dump(mount_of(main, "kv-cache-secondary-2")),
            R"({"mountPath":"/mnt/kv-cache-2","name":"kv-cache-secondary-2"})");
  // Prefill has its own.
  EXPECT_EQ(
      at(*named(pod(p, "s-kserve-prefill").find("volumes"), "kv-cache-secondary-0"), {"emptyDir"}),
      "{}");

  // A tier without a file system, which only a config could bring past validation.
  const Value tiers = yaml("{kvCacheOffloading: {secondary: [{}, {fileSystem: {emptyDir: {}}}]}}");
  const Workload workload{tiers, "/spec", "both"};
  Value bare = yaml("{containers: [{name: main}]}");
  attach_kv_tiers(workload, bare);
  EXPECT_EQ(bare.find("volumes")->if_array()->size(), 1U);
  EXPECT_EQ(container(bare, "containers", "main")
                .find("volumeMounts")
                ->if_array()
                ->front()
                .string_at({"mountPath"}),
            "/mnt/kv-cache-1");
}

TEST(Tiers, AddTheirSizesToTheStorageThatTheContainerAsksFor) {
  const auto resources = [](std::string_view main) {
    return at(main_of(planned("{kvCacheOffloading: {cpu: 1Gi, secondary: [{fileSystem: {emptyDir: "
                              "{size: 5Gi}}}, {fileSystem: {emptyDir: {size: 512Mi}}}]}, template: "
                              "{containers: [" +
                              std::string(main) + "]}}"),
                      "s-kserve"),
              {"resources"});
  };
  EXPECT_EQ(resources("{name: main, resources: {requests: {ephemeral-storage: 2560Mi}}}"),
            R"({"requests":{"ephemeral-storage":"8Gi"}})");
  EXPECT_EQ(resources("{name: main}"), R"({"requests":{"ephemeral-storage":"5632Mi"}})");

  // A request never passes its limit, and one that is missing is the limit.
  EXPECT_EQ(resources("{name: main, resources: {requests: {ephemeral-storage: 2560Mi}, limits: "
                      "{ephemeral-storage: 2560Mi}}}"),
            R"({"requests":{"ephemeral-storage":"8Gi"},"limits":{"ephemeral-storage":"8Gi"}})");
  EXPECT_EQ(resources("{name: main, resources: {limits: {ephemeral-storage: 2560Mi}}}"),
            R"({"limits":{"ephemeral-storage":"8Gi"}})");
}

}  // namespace
}  // namespace baton::plan
