// How the model gets to /mnt/models of an engine container.

#include <fmt/format.h>

#include <algorithm>

#include "control/plan/build.hpp"
#include "control/plan/merge.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kModelPath = "/mnt/models";
constexpr std::string_view kInitializer = "storage-initializer";
constexpr std::string_view kProvision = "kserve-provision-location";
// Fetched by the initializer. Where a node does without it (baton's own agent), the container's
// arguments tell what to put there.
constexpr std::string_view kFetched[] = {"hf", "s3", "baton", "file"};

Value mount(std::string_view volume, std::string_view path, bool read_only) {
  Object out{{"mountPath", path}, {"name", volume}};
  if (read_only) out.set("readOnly", true);
  return out;
}

void add_mount(Value& container, Value mount) {
  Value& mounts = container["volumeMounts"];
  if (!mounts.is_array()) mounts = Array();
  for (const Value& present : *mounts.if_array()) {
    if (present.string_at({"mountPath"}) == mount.string_at({"mountPath"})) return;
  }
  mounts.push_back(std::move(mount));
}

Value initializer_env(const Build& build, std::string_view scheme) {
  Array env;
  const auto add = [&](std::string_view key, std::string_view value) {
    env.push_back(Object{{"name", key}, {"value", value}});
  };
  if (scheme == "hf") {
    add("HF_HUB_ENABLE_HF_TRANSFER", "1");
    add("HF_XET_HIGH_PERFORMANCE", "1");
    add("HF_XET_NUM_CONCURRENT_RANGE_GETS", "8");
  }
  const Value* confidential = get(build.spec(), {"model", "confidential"});
  if (confidential != nullptr && confidential->find("enabled") != nullptr &&
      *confidential->find("enabled") == Value(true)) {
    add("CONFIDENTIAL_ENABLED", "true");
    const std::string_view id = confidential->string_at({"resourceId"});
    if (!id.empty()) add("CONFIDENTIAL_RESOURCE_ID", id);
  }
  return env;
}

Value initializer(const Build& build, std::string_view uri, std::string_view scheme) {
  Object out{{"name", kInitializer},
             {"image", build.settings().storage_initializer_image},
             {"args", Array{uri, kModelPath}},
             {"resources", Object{{"requests", Object{{"cpu", "100m"}, {"memory", "100Mi"}}},
                                  {"limits", Object{{"cpu", "1"}, {"memory", "1Gi"}}}}},
             {"terminationMessagePolicy", "FallbackToLogsOnError"},
             {"volumeMounts", Array{mount(kProvision, kModelPath, false)}}};
  Value env = initializer_env(build, scheme);
  if (!env.if_array()->empty()) out.set("env", std::move(env));
  return out;
}

// Takes the user's container of that name out of the pod; null when there is none.
Value take_users_initializer(Value& pod) {
  Value* inits = pod.find("initContainers");
  if (inits == nullptr || !inits->is_array()) return {};
  Value taken;
  Array kept;
  for (Value& container : *inits->if_array()) {
    if (container.string_at({"name"}) == kInitializer) {
      taken = std::move(container);
    } else {
      kept.push_back(std::move(container));
    }
  }
  *inits = std::move(kept);
  if (inits->if_array()->empty()) pod.if_object()->erase("initContainers");
  return taken;
}

void fetch(Build& build, const Workload& workload, Value& pod, Value users, Value generated) {
  // H06: what the user says about it counts, except what it runs.
  if (users.is_object()) {
    if (users.find("args") != nullptr || users.find("command") != nullptr) {
      build.warn(workload.pointer + "/template/initContainers",
                 "the command and args of storage-initializer have no effect");
    }
    const Value args = *generated.find("args");
    generated = merge(generated, users);
    generated["args"] = args;
    generated.if_object()->erase("command");
  }
  Array inits{std::move(generated)};
  if (Value* others = pod.find("initContainers"); others != nullptr && others->is_array()) {
    for (Value& other : *others->if_array()) inits.push_back(std::move(other));
  }
  pod["initContainers"] = std::move(inits);
  add_named(pod["volumes"], Object{{"name", kProvision}, {"emptyDir", Object()}});
}

// pvc://claim/path/in/it
void mount_claim(std::string_view rest, Value& pod, Value& main) {
  const std::size_t slash = rest.find('/');
  const std::string_view claim = rest.substr(0, slash);
  add_named(pod["volumes"],
            Object{{"name", "kserve-pvc-source"},
                   {"persistentVolumeClaim", Object{{"claimName", claim}, {"readOnly", true}}}});
  Value mounted = mount("kserve-pvc-source", kModelPath, true);
  if (slash != std::string_view::npos && slash + 1 < rest.size()) {
    mounted["subPath"] = rest.substr(slash + 1);
  }
  add_mount(main, std::move(mounted));
}

// oci://image: a container of the image keeps its file system alive; main follows a link into it.
void add_modelcar(std::string_view image, Value& pod) {
  Value* main = named(pod.find("containers"), "main");
  add_mount(*main, mount(kProvision, "/mnt", false));
  add_named((*main)["env"], Object{{"name", "MODEL_INIT_MODE"}, {"value", "async"}});
  const Value resources = Object{{"requests", Object{{"cpu", "10m"}, {"memory", "15Mi"}}},
                                 {"limits", Object{{"cpu", "10m"}, {"memory", "15Mi"}}}};
  add_named(pod["containers"],
            Object{{"name", "modelcar"},
                   {"image", image},
                   {"command",
                    Array{"sh", "-c", "ln -sf /proc/$$/root/models /mnt/models && sleep infinity"}},
                   {"resources", resources},
                   {"volumeMounts", Array{mount(kProvision, "/mnt", false)}}});
  add_named(pod["initContainers"], Object{{"name", "modelcar-init"},
                                          {"image", image},
                                          {"command", Array{"sh", "-c", "test -d /models"}},
                                          {"resources", resources}});
  add_named(pod["volumes"], Object{{"name", kProvision}, {"emptyDir", Object()}});
  pod["shareProcessNamespace"] = true;
}

void mount_image(std::string_view image, Value& pod, Value& main) {
  add_named(pod["volumes"],
            Object{{"name", "mnt-models"},
                   {"image", Object{{"reference", image}, {"pullPolicy", "IfNotPresent"}}}});
  Value mounted = mount("mnt-models", kModelPath, true);
  mounted["subPath"] = "models";
  add_mount(main, std::move(mounted));
}

}  // namespace

Status attach_model(Build& build, const Workload& workload, Value& pod) {
  const Value* enabled = get(build.spec(), {"storageInitializer", "enabled"});
  if (enabled != nullptr && *enabled == Value(false)) return {};
  Value* main = named(pod.find("containers"), "main");
  if (main == nullptr) return {};

  const std::string_view uri = build.spec().string_at({"model", "uri"});
  const std::size_t mark = uri.find("://");
  if (mark == std::string_view::npos) {
    return invalid(fmt::format("/spec/model/uri: expected scheme://place, is '{}'", uri));
  }
  const std::string_view scheme = uri.substr(0, mark);
  const std::string_view rest = uri.substr(mark + 3);
  Value users = take_users_initializer(pod);
  main = named(pod.find("containers"), "main");
  if (scheme == "pvc") {
    mount_claim(rest, pod, *main);
  } else if (scheme == "oci+native") {
    mount_image(rest, pod, *main);
  } else if (scheme == "oci") {
    add_modelcar(rest, pod);
  } else if (std::ranges::find(kFetched, scheme) != std::end(kFetched)) {
    add_mount(*main, mount(kProvision, kModelPath, true));
    fetch(build, workload, pod, std::move(users), initializer(build, uri, scheme));
  } else {
    return invalid(
        fmt::format("/spec/model/uri: unsupported scheme '{}' (known: hf, s3, pvc, oci, "
                    "oci+native, baton, file)",
                    scheme));
  }
  return {};
}

}  // namespace baton::plan
