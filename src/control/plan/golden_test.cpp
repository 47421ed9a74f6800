// Whole plans, as `baton plan -o yaml` prints them, against tests/golden/plan. Reading the diff is
// the review; BATON_UPDATE_GOLDEN=1 rewrites the files.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text/yaml.hpp"
#include "control/plan/describe.hpp"
#include "control/plan/group.hpp"
#include "control/plan/plan.hpp"
#include "control/plan/presets.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

const std::string kRoot = BATON_SOURCE_DIR;

std::string read(const std::string& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

ServiceView view_of(const std::string& file) {
  ServiceView view;
  view.settings.prometheus.url = "https://prometheus.monitoring:9090";
  for (auto& document : *text::yaml::parse_all(read(kRoot + "/" + file), file)) {
    if (document.value.string_at({"kind"}) == "LLMInferenceService") {
      if (view.service.is_null()) {
        view.service = std::move(document.value);
      } else {
        view.peers.push_back(as_if_running(std::move(document.value)));
      }
    } else {
      view.configs.push_back(std::move(document.value));
    }
  }
  return view;
}

// The preset script would drown the rest.
void shorten(Value& value) {
  if (const std::string* text = value.if_string(); text != nullptr && *text == engine_script()) {
    value = "<engine.sh>";
  }
  if (Array* items = value.if_array()) {
    for (Value& item : *items) shorten(item);
  }
  if (Object* members = value.if_object()) {
    for (auto& [key, member] : *members) shorten(member);
  }
}

std::string printed(const Plan& plan) {
  std::string out;
  for (const std::string& config : plan.applied_configs) out += "# applied " + config + "\n";
  for (const Warning& warning : plan.warnings) {
    out += "# warning " + warning.pointer + ": " + warning.message + "\n";
  }
  for (Value child : plan.children) {
    shorten(child);
    out += "---\n" + text::yaml::dump(child);
  }
  return out;
}

struct Case {
  std::string name;
  std::string file;
};

class Golden : public testing::TestWithParam<Case> {};

TEST_P(Golden, EqualsTheFile) {
  const auto planned = plan(view_of(GetParam().file));
  ASSERT_TRUE(planned) << planned.error().message();

  const std::string golden = kRoot + "/tests/golden/plan/" + GetParam().name + ".yaml";
  if (std::getenv("BATON_UPDATE_GOLDEN") != nullptr) std::ofstream(golden) << printed(*planned);

  EXPECT_EQ(printed(*planned), read(golden)) << golden;
}

// What `baton plan` shows by default.
TEST(Describe, EqualsTheFile) {
  const auto planned = plan(view_of("examples/quickstart.yaml"));
  ASSERT_TRUE(planned) << planned.error().message();

  const std::string golden = kRoot + "/tests/golden/plan/quickstart.txt";
  if (std::getenv("BATON_UPDATE_GOLDEN") != nullptr) std::ofstream(golden) << describe(*planned);

  EXPECT_EQ(describe(*planned), read(golden)) << golden;
}

INSTANTIATE_TEST_SUITE_P(
    Plan, Golden,
    testing::Values(Case{"pd-defaults", "examples/pd-defaults.yaml"},
                    Case{"quickstart", "examples/quickstart.yaml"},
                    Case{"multi-node", "examples/multi-node.yaml"},
                    Case{"seed-standard", "examples/seed/standard-llama2.yaml"},
                    Case{"seed-disaggregated", "examples/seed/disaggregated-llama2.yaml"},
                    Case{"seed-example1", "examples/seed/example1-llama2-7b-disaggregated.yaml"},
                    Case{"seed-example2", "examples/seed/example2-granite-8b-pd-with-configs.yaml"},
                    Case{"seed-example3", "examples/seed/example3-llama2-70b-multinode-pd.yaml"}),
    [](const auto& info) {
      std::string name = info.param.name;
      std::erase(name, '-');
      return name;
    });

// Every sample has its golden plan, called as it is: a single-node template (single-gpu) and a
// data-parallel decode group (pd-wide-ep) among them.  llmisvc:B32
std::vector<Case> samples() {
  std::vector<Case> out;
  for (const auto& entry : std::filesystem::directory_iterator(kRoot + "/examples/kserve")) {
    if (entry.path().extension() != ".yaml") continue;
    out.push_back({entry.path().stem(), "examples/kserve/" + entry.path().filename().string()});
  }
  std::ranges::sort(out, {}, &Case::name);
  return out;
}

INSTANTIATE_TEST_SUITE_P(Samples, Golden, testing::ValuesIn(samples()), [](const auto& info) {
  std::string name = info.param.name;
  std::erase(name, '-');
  return name;
});

}  // namespace
}  // namespace baton::plan
