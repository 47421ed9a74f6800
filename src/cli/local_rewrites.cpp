#include "cli/local_rewrites.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "control/node/rewrites.hpp"
#include "control/node/volumes.hpp"
#include "control/plan/presets.hpp"

namespace baton::cli {
namespace {

using text::json::Array;
using text::json::Value;

constexpr std::string_view kPicker = "llminferenceservice-router-scheduler";

const Array& items(const Value* list) {
  static const Array kNone;
  return list == nullptr || !list->is_array() ? kNone : *list->if_array();
}

node::Environment environment_of(const Value& container) {
  node::Environment out;
  for (const Value& variable : items(container.find("env"))) {
    out.set(variable.string_at({"name"}), std::string(variable.string_at({"value"})));
  }
  return out;
}

node::Config config_shown() {
  node::Config config;
  config.state_dir = "<state>";
  config.is_shipped_script = [](std::string_view text) { return text == plan::engine_script(); };
  return config;
}

Result<node::Launch> launch_shown(const Value& container, const Value& pod) {
  const auto config = config_shown();
  BATON_TRY_ASSIGN(const auto folders, node::volume_folders(pod, {"<pod>", "<logs>"}, config));
  BATON_TRY_ASSIGN(const auto mounts, node::mounts_of(container, pod, folders, config));
  const node::PodFacts facts{.address = "<pod address>",
                             .allowlist_file = "<pod>/allowlist",
                             .directory = "<pod>",
                             .bin = "<state>/bin",
                             .gpus = "",
                             .mounts = node::Mounts::kAuto};
  return node::launch_for(container, facts, environment_of(container), mounts, config);
}

void add_container(const Value& container, const Value& pod, std::string_view object,
                   std::vector<std::string>& out) {
  const std::string head = fmt::format("{} {}: ", object, container.string_at({"name"}));
  const auto launch = launch_shown(container, pod);
  if (!launch) {
    out.push_back(head + launch.error().message());
    return;
  }
  if (launch->program == node::Program::kStorageInitializer) {
    out.push_back(head + "the node agent puts the model there itself");
  }
  for (const std::string& note : launch->notes) out.push_back(head + note);
}

void add_pod(const Value& spec, std::string_view object, std::vector<std::string>& out) {
  const Value pod = text::json::Object{{"spec", spec}};
  for (const std::string_view list : {"initContainers", "containers"}) {
    for (const Value& container : items(spec.find(list))) {
      add_container(container, pod, object, out);
    }
  }
}

}  // namespace

std::vector<std::string> local_rewrites(const plan::Plan& plan) {
  std::vector<std::string> out;
  for (const Value& child : plan.children) {
    const std::string object =
        fmt::format("{} {}", child.string_at({"kind"}), child.string_at({"metadata", "name"}));
    if (child.string_at({"metadata", "labels", "app.kubernetes.io/component"}) == kPicker &&
        child.string_at({"kind"}) == "Deployment") {
      out.push_back(object + ": starts no process, the gateway hosts the picker");
    } else if (const Value* pod = child.find_path({"spec", "template", "spec"})) {
      add_pod(*pod, object, out);
    } else if (child.string_at({"kind"}) == "LeaderWorkerSet") {
      for (const std::string_view place : {"leaderTemplate", "workerTemplate"}) {
        const Value* spec = child.find_path({"spec", "leaderWorkerTemplate", place, "spec"});
        if (spec == nullptr) continue;
        add_pod(*spec, fmt::format("{} {}", object, place.substr(0, 6)), out);
      }
    }
  }
  return out;
}

}  // namespace baton::cli
