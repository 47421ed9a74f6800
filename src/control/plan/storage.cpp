// How the model and its adapters get into a pod. Controller reference 4.8, 4.10.

#include "control/plan/storage.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "control/plan/child_name.hpp"
#include "control/plan/credentials.hpp"
#include "control/plan/lora.hpp"
#include "control/plan/md5.hpp"
#include "control/plan/merge.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;
using Oci = Settings::Storage::Oci;

constexpr std::string_view kModelPath = "/mnt/models";
constexpr std::string_view kInitializer = "storage-initializer";
constexpr std::string_view kProvision = "kserve-provision-location";
constexpr std::string_view kAdapterVolume = "lora-location";
// Fetched by the initializer. Where a node does without it (baton's own agent), the container's
// arguments tell what to put there.
constexpr std::string_view kFetched[] = {"hf", "s3", "baton", "file"};
// What a tokenizer needs of a model.
constexpr std::string_view kTokenizerFiles =
    R"(["tokenizer.json","tokenizer_config.json","special_tokens_map.json","vocab.json",)"
    R"("merges.txt","config.json","generation_config.json"])";

struct Uri {
  std::string text, scheme, rest;
};

Result<Uri> parse_uri(std::string text) {
  const std::size_t mark = text.find("://");
  if (mark == std::string::npos) {
    return invalid(fmt::format("/spec/model/uri: expected scheme://place, is '{}'", text));
  }
  Uri out{text, text.substr(0, mark), text.substr(mark + 3)};
  return out;
}

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::string out;
  for (unsigned i = 0; i < size; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

// Where a node's cache of models keeps what the service asks for.
Result<std::string> cached_uri(const Build& build, std::string_view uri) {
  constexpr std::string_view kStem = "internal.serving.kserve.io/localmodel";
  const auto annotation = [&](std::string_view suffix) -> Result<std::string> {
    const std::string key = fmt::format("{}-{}", kStem, suffix);
    const std::string_view value = build.service.string_at({"metadata", "annotations", key});
    if (!value.empty()) return std::string(value);
    return invalid(fmt::format("{}: is missing beside the label {}",
                               text::json::pointer("/metadata/annotations", key), kStem));
  };
  BATON_TRY_ASSIGN(const std::string source, annotation("sourceuri"));
  BATON_TRY_ASSIGN(const std::string claim, annotation("pvc-name"));
  std::string_view inside = uri;
  if (inside.starts_with(source)) inside.remove_prefix(source.size());
  return fmt::format("pvc://{}/models/{}{}{}", claim, sha256_hex(source).substr(0, 16),
                     inside.starts_with('/') ? "" : "/", inside);
}

bool is_cached(const Build& build) {
  return build.service.find_path({"metadata", "labels", "internal.serving.kserve.io/localmodel"}) !=
         nullptr;
}

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

// A volume's name is a DNS label; an adapter's name may hold more.
std::string adapter_volume(std::string_view name) {
  std::string label;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    label += plain ? c : '-';
  }
  if (label != name || label.ends_with('-')) {
    label = fmt::format("{}-{}", label, md5_hex(name).substr(0, 8));
  }
  return child_name("lora-pvc-", label);
}

// A pod whose model is being put together.
class Attachment {
 public:
  Attachment(Build& build, const ModelTarget& target, Value& pod)
      : build_(build), target_(target), pod_(pod), users_(take_users_initializer(pod)) {}

  Status run(const Uri& uri, const std::vector<Adapter>& adapters) {
    std::vector<Download> downloads;
    std::string_view volume = kProvision;
    if (uri.scheme == "pvc") {
      mount_claim("kserve-pvc-source", uri.rest, target_.path);
    } else if (uri.scheme == "oci" || uri.scheme == "oci+native") {
      BATON_TRY(attach_image(uri));
      volume = kAdapterVolume;
    } else if (std::ranges::find(kFetched, uri.scheme) != std::end(kFetched)) {
      downloads.push_back({uri.text, std::string(kModelPath)});
    } else {
      return invalid(
          fmt::format("/spec/model/uri: unsupported scheme '{}' (known: hf, s3, pvc, oci, "
                      "oci+native, baton, file)",
                      uri.scheme));
    }
    for (const Adapter& adapter : adapters) {
      if (adapter.scheme == "pvc") {
        mount_claim(adapter_volume(adapter.name), adapter.uri.substr(6), adapter.path);
      } else {
        downloads.push_back({adapter.uri, adapter.path});
      }
    }
    if (!downloads.empty()) {
      fetch(downloads, volume);
    } else if (users_.is_object()) {
      build_.warn(target_.pointer + "/initContainers",
                  fmt::format("{} has no effect: nothing is downloaded from {}://", kInitializer,
                              uri.scheme));
    }
    return {};
  }

 private:
  struct Download {
    std::string uri, path;
  };

  Value& container() { return *named(pod_.find("containers"), target_.container); }
  const Settings::Storage& settings() const { return build_.settings().storage; }

  const Value* live_initializer() const {
    return target_.live == nullptr ? nullptr
                                   : named(target_.live->find("initContainers"), kInitializer);
  }

  // pvc://claim/path/in/it
  void mount_claim(const std::string& volume, std::string_view rest, std::string_view path) {
    const std::size_t slash = rest.find('/');
    const std::string_view claim = rest.substr(0, slash);
    add_named(pod_["volumes"],
              Object{{"name", volume}, {"persistentVolumeClaim", Object{{"claimName", claim}}}});
    Value mounted = mount(volume, path, true);
    if (slash != std::string_view::npos && slash + 1 < rest.size()) {
      mounted["subPath"] = rest.substr(slash + 1);
    }
    add_mount(container(), std::move(mounted));
  }

  Status attach_image(const Uri& uri) {
    if (uri.scheme == "oci+native" || settings().oci == Oci::kNative) {
      build_.out.mounts_images = true;
      mount_image(uri.rest);
      return {};
    }
    if (settings().oci == Oci::kModelcar) {
      add_modelcar(uri.rest);
      return {};
    }
    return invalid(
        settings().oci == Oci::kOff
            ? "/spec/model/uri: OCI modelcars is not enabled (inferenceservice-config, "
              "storageInitializer.enableModelcar or ociModelMode)"
            : "/spec/model/uri: ociModelMode 'fetch' is not implemented (known: modelcar, native)");
  }

  void mount_image(std::string_view image) {
    std::string volume = target_.path.substr(1);
    std::ranges::replace(volume, '/', '-');
    add_named(pod_["volumes"],
              Object{{"name", volume},
                     {"image", Object{{"reference", image}, {"pullPolicy", "IfNotPresent"}}}});
    Value mounted = mount(volume, target_.path, true);
    mounted["subPath"] = "models";
    add_mount(container(), std::move(mounted));
  }

  // A container of the image keeps its file system alive; the engine follows a link into it.
  void add_modelcar(std::string_view image) {
    const std::string parent = target_.path.substr(0, target_.path.rfind('/'));
    const Value amount =
        Object{{"cpu", settings().modelcar_cpu}, {"memory", settings().modelcar_memory}};
    const Value resources = Object{{"requests", amount}, {"limits", amount}};
    // Kubernetes makes $$ of $$$$, and the shell its process id of that.
    const std::string script = fmt::format(
        "mkdir -p {} && ln -sf /proc/$$$$/root/models {} && sleep infinity", parent, target_.path);
    Value car = Object{{"name", "modelcar"},
                       {"image", image},
                       {"command", Array{"sh", "-c", script}},
                       {"resources", resources},
                       {"terminationMessagePolicy", "FallbackToLogsOnError"},
                       {"volumeMounts", Array{mount(kProvision, parent, false)}}};
    add_mount(container(), mount(kProvision, parent, false));
    add_named(container()["env"], Object{{"name", "MODEL_INIT_MODE"}, {"value", "async"}});
    if (settings().modelcar_uid) {
      container()["securityContext"]["runAsUser"] = *settings().modelcar_uid;
      car["securityContext"]["runAsUser"] = *settings().modelcar_uid;
    }
    add_named(pod_["containers"], std::move(car));
    // Pulls the image before anything waits for it, and sees whether it holds a model.
    add_named(pod_["initContainers"],
              Object{{"name", "modelcar-init"},
                     {"image", image},
                     {"command", Array{"sh", "-c", "test -d /models && ls -A /models | grep -q ."}},
                     {"resources", resources},
                     {"terminationMessagePolicy", "FallbackToLogsOnError"}});
    add_named(pod_["volumes"], Object{{"name", kProvision}, {"emptyDir", Object()}});
    pod_["shareProcessNamespace"] = true;
  }

  bool has_mounts_inside(const std::string& folder) {
    const auto inside = [&](std::string_view path) { return path.starts_with(folder + "/"); };
    if (target_.with_tiers && inside("/mnt/kv-cache-0")) return true;
    return std::ranges::any_of(
        items(std::as_const(container()).find("volumeMounts")),
        [&](const Value& one) { return inside(one.string_at({"mountPath"})); });
  }

  // One initializer fetches everything into one volume. Nothing can be mounted inside a read-only
  // volume, as claims of adapters, KV tiers and the user's own may be: then each folder is mounted
  // by itself.
  void fetch(const std::vector<Download>& downloads, std::string_view volume) {
    Array args;
    std::string parent = downloads.front().path;
    for (const Download& one : downloads) {
      args.emplace_back(one.uri);
      args.emplace_back(one.path);
      while (one.path != parent && !one.path.starts_with(parent + "/")) {
        parent = parent.substr(0, parent.rfind('/'));
      }
    }
    Value initializer = generated(std::move(args), mount(volume, parent, false));
    add_environment(downloads, initializer);
    customise(initializer);
    Array inits{std::move(initializer)};
    if (Value* others = pod_.find("initContainers"); others != nullptr && others->is_array()) {
      for (Value& other : *others->if_array()) inits.push_back(std::move(other));
    }
    pod_["initContainers"] = std::move(inits);
    add_named(pod_["volumes"], Object{{"name", volume}, {"emptyDir", Object()}});
    if (downloads.size() == 1) {
      const bool model = downloads[0].path == kModelPath;
      add_mount(container(), mount(volume, model ? target_.path : parent, true));
    } else if (!has_mounts_inside(parent)) {
      add_mount(container(), mount(volume, parent, true));
    } else {
      for (const Download& one : downloads) {
        Value mounted = mount(volume, one.path, true);
        mounted["subPath"] = one.path.substr(parent.size() + 1);
        add_mount(container(), std::move(mounted));
      }
    }
  }

  Value generated(Array args, Value mounted) const {
    std::string image = settings().image;
    // A newer default alone must not restart pods.
    if (const Value* live = live_initializer()) {
      if (!live->string_at({"image"}).empty()) image = live->string_at({"image"});
    }
    return Object{{"name", kInitializer},
                  {"image", std::move(image)},
                  {"args", std::move(args)},
                  {"resources", Object{{"requests", Object{{"cpu", settings().cpu_request},
                                                           {"memory", settings().memory_request}}},
                                       {"limits", Object{{"cpu", settings().cpu_limit},
                                                         {"memory", settings().memory_limit}}}}},
                  {"terminationMessagePolicy", "FallbackToLogsOnError"},
                  {"volumeMounts", Array{std::move(mounted)}}};
  }

  static bool any(const std::vector<Download>& downloads, std::string_view scheme) {
    return std::ranges::any_of(downloads, [&](const Download& one) {
      return one.uri.starts_with(fmt::format("{}://", scheme));
    });
  }

  // The live initializer of an older release has none of them; giving it some would restart pods.
  bool takes_hf_settings() const {
    const Value* live = live_initializer();
    if (live == nullptr) return true;
    const Value* env = get(*live, {"env"});
    return env != nullptr && env->is_array() &&
           std::ranges::any_of(*env->if_array(), [](const Value& variable) {
             return variable.string_at({"name"}).starts_with("HF_");
           });
  }

  void add_environment(const std::vector<Download>& downloads, Value& initializer) {
    const auto add = [&](std::string_view key, std::string_view value) {
      add_named(initializer["env"], Object{{"name", key}, {"value", value}});
    };
    const Value* confidential = get(build_.spec(), {"model", "confidential"});
    if (downloads.size() == 1 && confidential != nullptr &&
        get(*confidential, {"enabled"}) != nullptr &&
        *confidential->find("enabled") == Value(true)) {
      add("CONFIDENTIAL_ENABLED", "true");
      const std::string_view id = confidential->string_at({"resourceId"});
      if (!id.empty()) add("CONFIDENTIAL_RESOURCE_ID", id);
    }
    add_credentials(build_, target_.account, initializer, pod_);
    if (any(downloads, "hf") && takes_hf_settings()) {
      add("HF_HUB_ENABLE_HF_TRANSFER", "1");
      add("HF_XET_HIGH_PERFORMANCE", "1");
      add("HF_XET_NUM_CONCURRENT_RANGE_GETS", "8");
    }
    if (target_.only_tokenizer) add("STORAGE_ALLOW_PATTERNS", kTokenizerFiles);
    if (downloads.size() > 1 || any(downloads, "s3")) add_ca_bundle(build_, initializer, pod_);
  }

  // What the user says about the initializer counts, except what it runs.
  void customise(Value& initializer) {
    if (!users_.is_object()) return;
    if (get(users_, {"args"}) != nullptr || get(users_, {"command"}) != nullptr) {
      build_.out.warnings.push_back({target_.pointer + "/initContainers",
                                     "the command and args of storage-initializer have no effect",
                                     "StorageInitializerOverride"});
    }
    const Value args = *initializer.find("args");
    initializer = merge(std::move(initializer), users_);
    initializer["args"] = args;
    initializer.if_object()->erase("command");
  }

  Build& build_;
  const ModelTarget& target_;
  Value& pod_;
  Value users_;
};

}  // namespace

Status attach_model(Build& build, const ModelTarget& target, Value& pod) {
  const Value* enabled = get(build.spec(), {"storageInitializer", "enabled"});
  if (enabled != nullptr && *enabled == Value(false)) return {};
  if (named(pod.find("containers"), target.container) == nullptr) return {};
  std::string text(build.spec().string_at({"model", "uri"}));
  if (is_cached(build)) {
    BATON_TRY_ASSIGN(text, cached_uri(build, text));
  }
  BATON_TRY_ASSIGN(const Uri uri, parse_uri(std::move(text)));
  std::vector<Adapter> adapters;
  if (target.with_adapters) {
    BATON_TRY_ASSIGN(adapters, lora_adapters(build.spec()));
  }
  BATON_TRY(Attachment(build, target, pod).run(uri, adapters));
  if (!adapters.empty()) {
    add_lora_flags(adapters, *get(build.spec(), {"model", "lora"}), build.ns,
                   *named(pod.find("containers"), target.container));
  }
  return {};
}

}  // namespace baton::plan
