#include "cli/serve_stack.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/core/testing/temporary_folder.hpp"
#include "cli/manifest_files.hpp"
#include "cli/serve_view.hpp"
#include "control/node/testing/processes.hpp"
#include "control/plan/presets.hpp"
#include "net/kube/object.hpp"

namespace baton::cli {
namespace {

namespace fs = std::filesystem;

const kube::Type kService{"serving.kserve.io", "v1alpha2", "LLMInferenceService"};
const kube::Type kPod{"", "v1", "Pod"};

// The quickstart with everything real but the engines and sidecars, which only answer /health.
class ServeStackTest : public ::testing::Test {
 protected:
  ServeStackTest() {
    ServeStack::Options options;
    options.gateway.listen = {"127.0.0.1", 0};
    options.node.state_dir = state_.string();
    options.node.baton = NODE_TEST_PROGRAM;
    options.node.path = "/usr/bin:/bin";
    options.node.models_dirs = {state_.string() + "/models"};
    options.node.is_shipped_script = [](std::string_view text) {
      return text == plan::engine_script();
    };
    fs::create_directories(state_ / "models" / "storyteller");
    auto started = ServeStack::start(clock_, std::move(options));
    EXPECT_TRUE(started) << started.error().message();
    if (started) stack_ = *std::move(started);
  }
  ~ServeStackTest() override { stack_.reset(); }

  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(60)); }
  std::vector<kube::Object> list(const kube::Type& type) {
    return stack_->cluster().list({type, "", {}}, soon())->items;
  }
  void await(const kube::Type& type, const std::function<bool()>& holds) {
    const auto deadline = soon();
    const auto now = stack_->cluster().list({type, "", {}}, deadline);
    auto watch = stack_->cluster().watch({type, "", {}}, now->version, deadline);
    while (!holds() && !deadline.passed(clock_.now())) ASSERT_TRUE((*watch)->next(deadline));
    EXPECT_TRUE(holds()) << text::json::pretty(list(type));
  }
  int processes() const { return node::testing::processes_of(state_); }

  SystemClock clock_;
  TemporaryFolder folder_;
  const fs::path& state_ = folder_.path();
  std::unique_ptr<ServeStack> stack_;
};

TEST_F(ServeStackTest, BringsTheQuickstartUpFollowsAnEditAndLeavesNothing) {
  auto manifests = read_manifest_files({});
  ASSERT_TRUE(manifests);
  ManifestSync sync(stack_->cluster(), clock_);
  ASSERT_TRUE(sync.apply(*manifests));

  await(kService, [&] { return all_ready(list(kService)); });
  EXPECT_EQ(list(kPod).size(), 3u);
  EXPECT_EQ(processes(), 5);  // two engines with sidecars, one without
  const auto service = list(kService).front();
  EXPECT_EQ(
      service.string_at({"status", "url"}),
      "http://127.0.0.1:" + std::to_string(stack_->listening_at().port) + "/default/storyteller");

  manifests->services.front().object["spec"]["replicas"] = 1;
  ASSERT_TRUE(sync.apply(*manifests));
  await(kPod, [&] { return list(kPod).size() == 2; });

  stack_->stop(soon(), soon());
  EXPECT_EQ(processes(), 0);
}

}  // namespace
}  // namespace baton::cli
