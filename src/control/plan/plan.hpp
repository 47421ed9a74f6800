#pragma once
// The heart of the product: a service and what is known about the cluster in, everything that
// should exist out. Pure: same input, same bytes. `serve`, `plan` and the controller all call it.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::plan {

using text::json::Value;

// What an installation decides (the inferenceservice-config ConfigMap, environment, flags).
struct Settings {
  std::string system_namespace = "kserve";
  std::string config_prefix = "kserve-";
  // Presets keep the names they had when a service was first planned (Plan::pins).
  bool pin_configs = true;
  std::string ingress_gateway_name = "kserve-ingress-gateway";
  std::string ingress_gateway_namespace = "kserve";
  std::string model_routing_header = "X-Gateway-Model-Name";
  bool enable_tls = false;
  std::string cluster_domain = "cluster.local";
  // How a model gets into a pod (key storageInitializer).
  struct Storage {
    std::string image = "kserve/storage-initializer:v0.20.0";
    std::string cpu_request = "100m", cpu_limit = "1";
    std::string memory_request = "100Mi", memory_limit = "1Gi";
    // A ConfigMap of the system namespace with certificate authorities, "" for none.
    std::string ca_bundle_config_map;
    std::string ca_bundle_mount_path = "/etc/ssl/custom-certs";
    // What oci:// means: a container of the image beside the engine, or an image volume. kFetch is
    // refused where a service uses it.
    enum class Oci : std::uint8_t { kOff, kModelcar, kNative, kFetch };
    Oci oci = Oci::kModelcar;
    std::string modelcar_cpu = "10m", modelcar_memory = "15Mi";
    std::optional<std::int64_t> modelcar_uid;
  };
  Storage storage;
  // How Secrets of known shapes are recognised, and what they leave out (key credentials).
  struct Credentials {
    std::string s3_access_key_id_name = "awsAccessKeyID";
    std::string s3_secret_access_key_name = "awsSecretAccessKey";
    std::string s3_endpoint, s3_use_https, s3_region, s3_verify_ssl, s3_use_virtual_bucket,
        s3_use_accelerate, s3_use_anonymous_credential, s3_ca_bundle, s3_ca_bundle_config_map;
    std::string gcs_file_name = "gcloud-application-credentials.json";
    // With this annotation a service names the one Secret to use.
    std::string secret_annotation = "serving.kserve.io/storageSecretName";
  };
  Credentials credentials;
  // Images of containers for which nobody names one. Baton's engine computes on CPUs: pods that ask
  // for an accelerator get vLLM.
  std::string accelerator_engine_image = "ghcr.io/llm-d/llm-d-cuda:v0.9.0";
  std::string cpu_engine_image = "baton/baton:v0.1.0";
  std::string sidecar_image = "baton/baton:v0.1.0";
  // Which generation of flags the sidecar of the presets gets: "0.3.0", "0.10.0"; "" for Baton's.
  std::string sidecar_version;
  // Annotations of a certificate Secret that tell when to renew it: the first is written, any is
  // read (scheduler.expirationAnnotations).
  std::vector<std::string> expiration_annotations = {"certificates.kserve.io/expiration"};
  // The scheme that addresses prefer (ingress.urlScheme): "http", "https" or "".
  std::string url_scheme;
  // The x-k8s InferencePool API is served beside v1: both pools are made.
  bool serves_x_pools = true;
  // What a service gets that names no picker configuration: the October 2025 description's, or the
  // one of today's llm-d picker (scheduler.defaultConfig).
  enum class PickerDefault : std::uint8_t { kSeed, kCurrent };
  PickerDefault picker_default = PickerDefault::kSeed;
  // Routing by the model header: as the gateways say, always, never. See model_routing_of().
  enum class ModelRouting : std::uint8_t { kEnabled, kForced, kDisabled };
  ModelRouting model_routing = ModelRouting::kEnabled;
  // The endpoint picker's program. Baton's own reads configurations of every generation as they
  // are; for an upstream image, `picker_version` says what its configuration is migrated to.
  std::string picker_image = "baton/baton:v0.1.0";
  std::string picker_version;  // "0.10.0"; "" for Baton's own
  // Pickers and sidecars are Baton's whatever images say: `serve` runs nothing else under their
  // names, fetches models itself, and its gateway picks for services without a picker too.
  bool runs_baton = false;
  // Where KEDA asks for the wanted replicas (autoscaling-wva-controller-config.prometheus).
  struct Prometheus {
    std::string url;
    bool tls_insecure_skip_verify = false;
    std::string auth_modes, trigger_auth_name, trigger_auth_kind;
  };
  Prometheus prometheus;
  // Parallel sizes are accepted as emulated: no warning that one process cannot split itself.
  bool emulate_accelerators = false;
};

// "enabled", "forced", "disabled" in any case; anything else counts as enabled, as upstream does.
Settings::ModelRouting model_routing_of(std::string_view text);
// Picker, sidecar and engine on CPUs where Baton's run: one image holds all of them.
void use_baton_image(Settings& settings, const std::string& image);
// Pods run the upstream picker instead of Baton's.
void use_upstream_picker(Settings& settings);
// The same for engines on CPUs and for the sidecar.
void use_upstream_engine_and_sidecar(Settings& settings);

// `base` with what the ConfigMap inferenceservice-config says (controller reference 2.1). Keys that
// are not about LLMInferenceServices are skipped. kInvalid: "inferenceservice-config: <key>: …".
Result<Settings> read_settings(const Value& config_map, Settings base);

// Whether the value of that key of a Secret is read (a setting such as S3_ENDPOINT); of all others
// only their being there.
bool reads_secret_value(std::string_view key);

struct ServiceView {
  Value service;                   // LLMInferenceService, either version, as read
  std::vector<Value> configs;      // LLMInferenceServiceConfigs of its namespace and the system's
  std::vector<Value> config_maps;  // those of its namespace and the system's
  std::vector<Value> children;     // live objects it owns (to keep what others decide)
  // ServiceAccounts of its namespace. Unset where there is no API server to ask: then no account
  // counts as missing.
  std::optional<std::vector<Value>> accounts;
  // Secrets of its namespace. What matters: annotations, which keys there are, and the values of
  // S3 settings (S3_ENDPOINT, AWS_DEFAULT_REGION …); credentials are never read.
  std::vector<Value> secrets;
  std::vector<Value> peers;     // the other LLMInferenceServices of its namespace, with status
  std::vector<Value> gateways;  // those that spec.router.gateway.refs name, if they exist
  Settings settings;
};

struct Warning {
  std::string pointer;  // JSON pointer into the service, "" for the whole
  std::string message;
  std::string reason = "PlanWarning";  // of the Event that tells of it
};

// Who shares the traffic of spec.router.route.group: status.router.group.
struct Group {
  struct Member {
    std::string name;
    std::int64_t weight = 0;
    bool stopped = false;
    Value backend_ref;  // of an HTTPRoute rule, without weight
  };
  std::string name;
  std::vector<Member> members;         // those that serve the same models, by name, with this one
  std::vector<std::string> divergent;  // the others: GroupDegraded
};

// What plan() may make, and what it once made: whoever applies plans looks through all of them for
// objects that should be gone.
struct ChildKind {
  std::string_view group, version, kind;  // group "" for the core API
};
const std::vector<ChildKind>& child_kinds();

// On the Secret of kRoutingKey, "true": who signs routes finds it by this.
inline constexpr std::string_view kRoutingKeyLabel = "baton.dev/routing-key";

// Something that needs I/O or a clock: reconcile fulfils it.
struct Wish {
  enum class Kind : std::uint8_t {
    kTlsSecret,  // a certificate for dns_names and addresses
    // A copy of ConfigMap `source` of the system namespace. It belongs to the namespace, not to one
    // service: brought up to date, never owned, never removed.
    kCaBundle,
    // A Secret with a random `key`, that stays as it is once it is there: the service's picker
    // signs routes with it, and the sidecars follow no others.
    kRoutingKey,
  };
  Kind kind;
  std::string ns, name;
  std::vector<std::string> dns_names, addresses;
  std::string source = {};
};

struct Plan {
  Value merged;                 // the service after defaulting, configs and templates (v1alpha2)
  std::vector<Value> children;  // complete objects with owner references, in order of creation
  std::vector<Wish> wishes;
  std::vector<Warning> warnings;
  // "Preset:kserve/kserve-config-llm-template", "UserRef:ns/name", in merge order.
  std::vector<std::string> applied_configs;
  bool mounts_images =
      false;  // the model comes as an image volume, which clusters before 1.35 lack
  std::optional<Group> group;  // with spec.router.route.group and a managed route
  // What the service's status.annotations lack: "serving.kserve.io/config-llm-template" -> the full
  // name in use. Once written, a later prefix does not change the service's presets.
  std::map<std::string, std::string> pins;
};

// Where planning ended. Each stage has its condition (controller reference 2.3, 5.5).
enum class Stage : std::uint8_t {
  kService,      // the service, as written, is wrong: admission should have refused it
  kFindConfigs,  // a preset or baseRef is nowhere to be found
  kCombine,      // merge, templates, the picker's ConfigMap, LoRA adapters
  kCheckMerged,  // the merged service is wrong
  kMultiNode,    // LeaderWorkerSets
  kSingleNode,   // Deployments
  kWorkloadService,
  kScaling,
  kScheduler,
  kRoute,
};
// "ConfigNotFound", "CombineBaseError", "InvalidRenderedConfig", "ReconcileMultiNodeWorkloadError"
// and so on: the reason of the condition that turns False.
std::string_view reason(Stage stage);

struct Failure {
  Stage stage;
  Error error;
};

// With a failure, `plan` holds what came before it: the children of earlier stages,
// applied_configs from kCheckMerged on, and as `merged` the service as written until kCombine is
// over. Of a stopped service there are never children.
struct Attempt {
  Plan plan;
  std::optional<Failure> failure;
};
Attempt attempt(const ServiceView& observed);

// Whether the service carries the annotation serving.kserve.io/stop: "true".
bool is_stopped(const Value& service);

// Keeps a service until what it cannot own is gone. Admission puts it on, and the controller where
// admission did not.
inline constexpr std::string_view kServiceFinalizer = "serving.kserve.io/llmisvc-finalizer";

// Names that end so are of merged services that the API server is asked about, in dry runs only.
// Such a one has its defaults and our own validation behind it: our webhooks leave it out.
inline constexpr std::string_view kValidationSuffix = "-validation-";

// Whether it carries baton.dev/probe: "true": one token is to be sent through it now and then.
inline constexpr std::string_view kProbeAnnotation = "baton.dev/probe";
bool asks_for_probe(const Value& service);

// The same for those who want the whole or nothing.
// kInvalid: the service or its merge is wrong; the message names the JSON pointer, all findings
// joined by "; ". kNotFound: a baseRef or ConfigMap is missing; the message lists candidates.
Result<Plan> plan(const ServiceView& observed);

}  // namespace baton::plan
