// presets/engine.sh under a real bash, with a `vllm` that writes down how it was called.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/core/testing/temporary_folder.hpp"
#include "control/plan/presets.hpp"
#include "control/plan/render.hpp"

namespace baton::plan {
namespace {

using ::testing::ElementsAre;

class EngineScript : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(folder_ / "engine.sh") << engine_script(); }

  // The arguments that vLLM of this version ends up with.
  std::vector<std::string> run(const std::string& version, const std::string& arguments,
                               const std::string& environment = "") {
    const std::filesystem::path vllm = folder_ / "vllm";
    std::ofstream(vllm) << "#!/bin/bash\n"
                           "if [ \"$1\" = --version ]; then echo "
                        << version << "; exit; fi\nprintf '%s\\n' \"$@\" > " << folder_.string()
                        << "/called\n";
    chmod(vllm.c_str(), 0755);
    const std::string command = "env PATH=" + folder_.string() + ":$PATH " + environment +
                                " bash " + folder_.string() + "/engine.sh " + arguments;
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    std::ifstream called(folder_ / "called");
    std::vector<std::string> out;
    for (std::string line; std::getline(called, line);) out.push_back(line);
    return out;
  }

  TemporaryFolder temporary_;
  const std::filesystem::path& folder_ = temporary_.path();
};

TEST_F(EngineScript, PassesPresetFlagsAsTheyStandAndUserArgumentsThroughTheShell) {
  EXPECT_THAT(run("0.30.0", R"(--port=1 '--served-model-name' 'a "b"' -- "--x 'y z'" --w)"),
              ElementsAre("serve", "/mnt/models", "--port=1", "--served-model-name", "a \"b\"",
                          "--x", "y z", "--w"));
}

// llmisvc:B27
TEST_F(EngineScript, LeavesJsonWhole) {
  const auto offloading = text::json::parse(
      R"({"cpu":"1Gi","evictionPolicy":"arc","secondary":[{"fileSystem":{"emptyDir":{}}}]})");
  const std::string tiers = "--kv-transfer-config=" + kv_transfer_json(*offloading, "");
  EXPECT_THAT(run("0.30.0", "'" + tiers + "' --"), ElementsAre("serve", "/mnt/models", tiers));
  const std::string json = kv_transfer_json(Value(), "kv_producer");
  EXPECT_THAT(
      run("0.30.0", "'--kv-transfer-config=" + json + "' -- --a '" + json + "' '--b=" + json + "'"),
      ElementsAre("serve", "/mnt/models", "--kv-transfer-config=" + json, "--a", json,
                  "--b=" + json));
}

TEST_F(EngineScript, PutsAdditionalArgumentsBetweenPresetAndUser) {
  EXPECT_THAT(run("0.30.0", "--a -- --c", "VLLM_ADDITIONAL_ARGS=\"--b 'x y'\""),
              ElementsAre("serve", "/mnt/models", "--a", "--b", "x y", "--c"));
}

TEST_F(EngineScript, FitsItsFlagsToTheVersion) {
  const std::string flags =
      "--disable-access-log-for-endpoints=/health --shutdown-timeout=40 "
      "'--kv-transfer-config={\"kv_connector\":\"OffloadingConnector\"}' --";
  EXPECT_THAT(run("0.22.1", flags),
              ElementsAre("serve", "/mnt/models", "--disable-access-log-for-endpoints=/health",
                          "--shutdown-timeout=40",
                          R"(--kv-transfer-config={"kv_connector":"OffloadingConnector"})"));
  EXPECT_THAT(run("0.16.0", flags),
              ElementsAre("serve", "/mnt/models", "--disable-access-log-for-endpoints=/health"));
  EXPECT_THAT(run("0.9.2", flags),
              ElementsAre("serve", "/mnt/models", "--disable-uvicorn-access-log"));
  EXPECT_THAT(run("", flags), ElementsAre("serve", "/mnt/models"));
}

TEST_F(EngineScript, WorksOutRanksAndAddressesOfAGroup) {
  EXPECT_THAT(run("0.30.0",
                  "--data-parallel-address=LWS_LEADER_ADDRESS "
                  "--data-parallel-start-rank=LWS_WORKER_INDEX*2 "
                  "--api-server-count=8 --",
                  "LWS_LEADER_ADDRESS=127.0.0.1 LWS_WORKER_INDEX=3 VLLM_API_SERVER_COUNT=4"),
              ElementsAre("serve", "/mnt/models", "--data-parallel-address=127.0.0.1",
                          "--data-parallel-start-rank=6", "--api-server-count=4"));

  // An address is not looked up: it may have no name.
  EXPECT_THAT(run("0.30.0", "--master-addr=LWS_LEADER_ADDRESS --",
                  "LWS_LEADER_ADDRESS=127.77.250.250 DP_ADDRESS_RESOLVE_ATTEMPTS=0"),
              ElementsAre("serve", "/mnt/models", "--master-addr=127.77.250.250"));

  EXPECT_THAT(run("0.30.0", "--node-rank=0 --node-rank=LWS_WORKER_INDEX --", "LWS_WORKER_INDEX=3"),
              ElementsAre("serve", "/mnt/models", "--node-rank=0", "--node-rank=3"));
}

// Arithmetic in bash runs what stands between brackets.
TEST_F(EngineScript, ComputesWithDigitsOnly) {
  EXPECT_THAT(run("0.30.0", "--node-rank=LWS_WORKER_INDEX --node-rank=OTHER --",
                  "LWS_WORKER_INDEX='a[$(touch " + folder_.string() + "/ran)]' OTHER=7"),
              ElementsAre("serve", "/mnt/models", "--node-rank=", "--node-rank="));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "ran"));
}

}  // namespace
}  // namespace baton::plan
