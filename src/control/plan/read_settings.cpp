// The ConfigMap inferenceservice-config, as far as it is about LLMInferenceServices.

#include <fmt/format.h>

#include <span>

#include "control/plan/objects.hpp"
#include "control/plan/plan.hpp"

namespace baton::plan {
namespace {

// One key of the ConfigMap: a JSON object in a string. Takes fields out of it by type, and
// remembers the first that has another one.
class Section {
 public:
  Section(const Value& config_map, std::string_view key) : key_(key) {
    const std::string_view text = config_map.string_at({"data", key});
    if (text.empty()) return;
    auto parsed = text::json::parse(text);
    if (!parsed) {
      wrong(fmt::format("no JSON: {}", parsed.error().message()));
    } else if (!parsed->is_object()) {
      wrong(fmt::format("expected an object, is {}", parsed->kind_name()));
    } else {
      object_ = *std::move(parsed);
    }
  }

  bool is_there() const { return object_.is_object(); }

  const Value* field(std::initializer_list<std::string_view> path) const {
    return is_there() ? get(object_, path) : nullptr;
  }
  // An empty text leaves `out` as it is.
  void take(std::initializer_list<std::string_view> path, std::string& out) {
    const Value* value = field(path);
    if (value == nullptr) return;
    if (!value->is_string()) return mistyped(path, "a string", *value);
    if (!value->if_string()->empty()) out = *value->if_string();
  }
  void take(std::initializer_list<std::string_view> path, bool& out) {
    const Value* value = field(path);
    if (value == nullptr) return;
    if (value->if_bool() == nullptr) return mistyped(path, "true or false", *value);
    out = *value->if_bool();
  }
  void take(std::initializer_list<std::string_view> path, std::optional<std::int64_t>& out) {
    const Value* value = field(path);
    if (value == nullptr) return;
    if (!value->if_int()) return mistyped(path, "an integer", *value);
    out = value->if_int();
  }
  void mistyped(std::initializer_list<std::string_view> path, std::string_view expected,
                const Value& value) {
    std::string where;
    for (const std::string_view key : path) where = text::json::pointer(where, key);
    wrong(fmt::format("{}: expected {}, is {}", where, expected, value.kind_name()));
  }
  void wrong(std::string what) {
    if (!status_) return;
    status_ = invalid(fmt::format("inferenceservice-config: {}: {}", key_, what));
  }
  const Status& status() const { return status_; }

 private:
  std::string_view key_;
  Value object_;
  Status status_;
};

Status read_ingress(const Value& config_map, Settings& out) {
  Section ingress(config_map, "ingress");
  std::string gateway;
  ingress.take({"kserveIngressGateway"}, gateway);
  if (const auto slash = gateway.find('/'); slash != std::string::npos) {
    out.ingress_gateway_namespace = gateway.substr(0, slash);
    out.ingress_gateway_name = gateway.substr(slash + 1);
  } else if (!gateway.empty()) {
    out.ingress_gateway_namespace = out.system_namespace;
    out.ingress_gateway_name = gateway;
  }
  ingress.take({"urlScheme"}, out.url_scheme);
  ingress.take({"enableLLMInferenceServiceTLS"}, out.enable_tls);
  ingress.take({"modelBasedRoutingHeaderName"}, out.model_routing_header);
  std::string mode;
  ingress.take({"modelBasedRoutingMode"}, mode);
  if (!mode.empty()) out.model_routing = model_routing_of(mode);
  return ingress.status();
}

Status read_storage(const Value& config_map, Settings::Storage& out) {
  Section storage(config_map, "storageInitializer");
  if (!storage.is_there()) return storage.status();
  storage.take({"image"}, out.image);
  storage.take({"cpuRequest"}, out.cpu_request);
  storage.take({"cpuLimit"}, out.cpu_limit);
  storage.take({"memoryRequest"}, out.memory_request);
  storage.take({"memoryLimit"}, out.memory_limit);
  storage.take({"caBundleConfigMapName"}, out.ca_bundle_config_map);
  storage.take({"caBundleVolumeMountPath"}, out.ca_bundle_mount_path);
  storage.take({"cpuModelcar"}, out.modelcar_cpu);
  storage.take({"memoryModelcar"}, out.modelcar_memory);
  storage.take({"uidModelcar"}, out.modelcar_uid);
  bool modelcar = false;
  bool any = false;
  std::string mode;
  storage.take({"enableModelcar"}, modelcar);
  storage.take({"enableOciModelSupport"}, any);
  storage.take({"ociModelMode"}, mode);
  using Oci = Settings::Storage::Oci;
  if (mode == "modelcar") {
    out.oci = Oci::kModelcar;
  } else if (mode == "native") {
    out.oci = Oci::kNative;
  } else if (mode == "fetch") {
    out.oci = Oci::kFetch;
  } else if (mode.empty()) {
    out.oci = modelcar || any ? Oci::kModelcar : Oci::kOff;
  } else {
    storage.wrong(
        fmt::format("/ociModelMode: '{}' is unknown (known: modelcar, native, fetch)", mode));
  }
  return storage.status();
}

Status read_credentials(const Value& config_map, Settings::Credentials& out) {
  Section credentials(config_map, "credentials");
  credentials.take({"s3", "s3AccessKeyIDName"}, out.s3_access_key_id_name);
  credentials.take({"s3", "s3SecretAccessKeyName"}, out.s3_secret_access_key_name);
  credentials.take({"s3", "s3Endpoint"}, out.s3_endpoint);
  credentials.take({"s3", "s3UseHttps"}, out.s3_use_https);
  credentials.take({"s3", "s3Region"}, out.s3_region);
  credentials.take({"s3", "s3VerifySSL"}, out.s3_verify_ssl);
  credentials.take({"s3", "s3UseVirtualBucket"}, out.s3_use_virtual_bucket);
  credentials.take({"s3", "s3UseAccelerate"}, out.s3_use_accelerate);
  credentials.take({"s3", "s3UseAnonymousCredential"}, out.s3_use_anonymous_credential);
  credentials.take({"s3", "s3CABundle"}, out.s3_ca_bundle);
  credentials.take({"s3", "s3CABundleConfigMap"}, out.s3_ca_bundle_config_map);
  credentials.take({"gcs", "gcsCredentialFileName"}, out.gcs_file_name);
  credentials.take({"storageSecretNameAnnotation"}, out.secret_annotation);
  return credentials.status();
}

Status read_prometheus(const Value& config_map, Settings::Prometheus& out) {
  Section wva(config_map, "autoscaling-wva-controller-config");
  wva.take({"prometheus", "url"}, out.url);
  wva.take({"prometheus", "tlsInsecureSkipVerify"}, out.tls_insecure_skip_verify);
  wva.take({"prometheus", "authModes"}, out.auth_modes);
  wva.take({"prometheus", "triggerAuthName"}, out.trigger_auth_name);
  wva.take({"prometheus", "triggerAuthKind"}, out.trigger_auth_kind);
  return wva.status();
}

Status read_scheduler(const Value& config_map, Settings& out) {
  Section scheduler(config_map, "scheduler");
  std::string config;
  scheduler.take({"defaultConfig"}, config);
  if (config == "current") {
    out.picker_default = Settings::PickerDefault::kCurrent;
  } else if (config == "october-2025") {
    out.picker_default = Settings::PickerDefault::kSeed;
  } else if (!config.empty()) {
    scheduler.wrong(
        fmt::format("/defaultConfig: '{}' is unknown (known: october-2025, current)", config));
  }
  const Value* keys = scheduler.field({"expirationAnnotations"});
  if (keys == nullptr) return scheduler.status();
  std::vector<std::string> named;
  const auto* list = keys->if_array();
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    if (const std::string* key = (*list)[i].if_string()) named.push_back(*key);
  }
  if (list == nullptr || named.size() != list->size()) {
    scheduler.mistyped({"expirationAnnotations"}, "a list of strings", *keys);
  }
  if (!named.empty()) out.expiration_annotations = std::move(named);
  return scheduler.status();
}

// What runs in containers for which nobody names an image.
Status read_images(const Value& config_map, Settings& out) {
  Section images(config_map, "images");
  std::string baton;
  bool upstream = false;
  images.take({"baton"}, baton);
  images.take({"upstream"}, upstream);
  if (!baton.empty()) use_baton_image(out, baton);
  if (upstream) {
    use_upstream_picker(out);
    use_upstream_engine_and_sidecar(out);
  }
  images.take({"picker"}, out.picker_image);
  images.take({"pickerVersion"}, out.picker_version);
  images.take({"sidecar"}, out.sidecar_image);
  images.take({"sidecarVersion"}, out.sidecar_version);
  images.take({"cpuEngine"}, out.cpu_engine_image);
  images.take({"acceleratorEngine"}, out.accelerator_engine_image);
  return images.status();
}

}  // namespace

Result<Settings> read_settings(const Value& config_map, Settings base) {
  BATON_TRY(read_ingress(config_map, base));
  BATON_TRY(read_storage(config_map, base.storage));
  BATON_TRY(read_credentials(config_map, base.credentials));
  BATON_TRY(read_prometheus(config_map, base.prometheus));
  BATON_TRY(read_scheduler(config_map, base));
  BATON_TRY(read_images(config_map, base));
  return base;
}

}  // namespace baton::plan
