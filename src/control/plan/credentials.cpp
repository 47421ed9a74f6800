#include "control/plan/credentials.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/core/trim.hpp"
#include "base/text/base64.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;
using Credentials = Settings::Credentials;

constexpr std::string_view kIamRole = "eks.amazonaws.com/role-arn";
constexpr std::string_view kEndpoint = "S3_ENDPOINT";
constexpr std::string_view kUseHttps = "S3_USE_HTTPS";
constexpr std::string_view kBundle = "AWS_CA_BUNDLE";
constexpr std::string_view kBundleConfigMap = "AWS_CA_BUNDLE_CONFIGMAP";
constexpr std::string_view kGlobalBundle = "global-ca-bundle";

// A setting of S3 clients: the annotation of the Secret or account (serving.kserve.io/…) wins over
// the Secret's own key, which is named as the variable, and that over the installation's value.
struct S3Setting {
  std::string_view variable, annotation;
  std::string Credentials::* fallback;
};
constexpr S3Setting kS3Endpoint{kEndpoint, "s3-endpoint", &Credentials::s3_endpoint};
constexpr S3Setting kS3Https{kUseHttps, "s3-usehttps", &Credentials::s3_use_https};
constexpr S3Setting kS3Others[] = {
    {"S3_VERIFY_SSL", "s3-verifyssl", &Credentials::s3_verify_ssl},
    {"awsAnonymousCredential", "s3-useanoncredential", &Credentials::s3_use_anonymous_credential},
    {"AWS_DEFAULT_REGION", "s3-region", &Credentials::s3_region},
    {"S3_USER_VIRTUAL_BUCKET", "s3-usevirtualbucket", &Credentials::s3_use_virtual_bucket},
    {"S3_USE_ACCELERATE", "s3-useaccelerate", &Credentials::s3_use_accelerate},
    {kBundle, "s3-cabundle", &Credentials::s3_ca_bundle},
    {kBundleConfigMap, "s3-cabundle-configmap", &Credentials::s3_ca_bundle_config_map},
};

constexpr std::size_t kMaxValue = std::size_t{1} << 16;  // of a setting, in base64

// "" for what is no base64.
std::string decoded(std::string_view base64) {
  return base64.size() > kMaxValue ? "" : text::parse_base64(base64).value_or("");
}

const Value* key_of(const Value& secret, std::string_view key) {
  for (const std::string_view map : {"data", "stringData"}) {
    if (const Value* found = secret.find_path({map, key})) return found;
  }
  return nullptr;
}

std::string value_of(const S3Setting& setting, const Value& owner, const Credentials& credentials) {
  const std::string annotation = fmt::format("serving.kserve.io/{}", setting.annotation);
  if (const Value* said = owner.find_path({"metadata", "annotations", annotation})) {
    return said->is_string() ? *said->if_string() : "";
  }
  if (const Value* data = owner.find_path({"data", setting.variable})) {
    return data->is_string() ? decoded(*data->if_string()) : "";
  }
  return credentials.*setting.fallback;
}

// Later values win: those of a Secret over those of an IAM role.
void set_env(Value& container, std::string_view name, Value entry) {
  Value& env = container["env"];
  if (!env.is_array()) env = Array();
  entry["name"] = name;
  if (Value* present = named(&env, name)) {
    *present = std::move(entry);
  } else {
    env.push_back(std::move(entry));
  }
}

void set_value(Value& container, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  set_env(container, name, Object{{"name", name}, {"value", value}});
}

void set_reference(Value& container, std::string_view name, const Value& secret,
                   std::string_view key) {
  set_env(container, name,
          Object{{"name", name},
                 {"valueFrom",
                  Object{{"secretKeyRef", Object{{"name", name_of(secret)}, {"key", key}}}}}});
}

std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// A scheme in the endpoint decides about HTTPS, else the setting does.
void set_endpoint(Value& container, const Value& owner, const Credentials& credentials) {
  const std::string text = value_of(kS3Endpoint, owner, credentials);
  const std::string_view endpoint = trim(text, " \t\n");
  if (endpoint.empty()) return;
  const std::string low = lowered(endpoint);
  std::string https;
  std::string_view host = endpoint;
  std::string url(endpoint);
  if (low.starts_with("https://")) {
    https = "1";
    host.remove_prefix(8);
  } else if (low.starts_with("http://")) {
    https = "0";
    host.remove_prefix(7);
  } else {
    https = value_of(kS3Https, owner, credentials);
    url = fmt::format("{}://{}", https == "0" ? "http" : "https", endpoint);
  }
  set_value(container, kUseHttps, https);
  set_value(container, kEndpoint, host);
  set_value(container, "AWS_ENDPOINT_URL", url);
}

void set_s3(Value& container, const Value& owner, const Credentials& credentials) {
  set_endpoint(container, owner, credentials);
  for (const S3Setting& setting : kS3Others) {
    set_value(container, setting.variable, value_of(setting, owner, credentials));
  }
}

void use_secret(const Build& build, const Value& secret, Value& container, Value& pod) {
  const Credentials& credentials = build.settings().credentials;
  if (key_of(secret, credentials.s3_secret_access_key_name) != nullptr) {
    set_reference(container, "AWS_ACCESS_KEY_ID", secret, credentials.s3_access_key_id_name);
    set_reference(container, "AWS_SECRET_ACCESS_KEY", secret,
                  credentials.s3_secret_access_key_name);
    set_s3(container, secret, credentials);
  } else if (key_of(secret, credentials.gcs_file_name) != nullptr) {
    add_named(pod["volumes"],
              Object{{"name", "user-gcp-sa"}, {"secret", Object{{"secretName", name_of(secret)}}}});
    container["volumeMounts"].push_back(
        Object{{"mountPath", "/var/secrets/"}, {"name", "user-gcp-sa"}, {"readOnly", true}});
    set_value(container, "GOOGLE_APPLICATION_CREDENTIALS",
              fmt::format("/var/secrets/{}", credentials.gcs_file_name));
  } else if (key_of(secret, "HF_TOKEN") != nullptr) {
    set_reference(container, "HF_TOKEN", secret, "HF_TOKEN");
  }
}

void use_secret_named(Build& build, std::string_view name, std::string_view said_by,
                      Value& container, Value& pod) {
  for (const Value& secret : build.observed.secrets) {
    if (name_of(secret) == name && namespace_of(secret) == build.ns) {
      return use_secret(build, secret, container, pod);
    }
  }
  build.warn("/spec/model/uri", fmt::format("{} names Secret {}/{}, which is not there: nothing is "
                                            "fetched with it",
                                            said_by, build.ns, name));
}

}  // namespace

bool reads_secret_value(std::string_view key) {
  return key == kEndpoint || key == kUseHttps ||
         std::ranges::find(kS3Others, key, &S3Setting::variable) != std::end(kS3Others);
}

void add_credentials(Build& build, const Account& account, Value& container, Value& pod) {
  if (!build.observed.accounts) return;
  // An account of ours has the default's Secrets, but none of its annotations.
  const bool users = !account.is_ours && !account.name.empty();
  const std::string name = users ? account.name : "default";
  const Value* live = live_account(build, name);
  if (live == nullptr) return;
  const bool annotated = live->find_path({"metadata", "annotations", kIamRole}) != nullptr;
  if (annotated && !account.is_ours) set_s3(container, *live, build.settings().credentials);

  const std::string& annotation = build.settings().credentials.secret_annotation;
  const std::string_view one = build.service.string_at({"metadata", "annotations", annotation});
  if (!one.empty()) {
    return use_secret_named(build, one, fmt::format("annotation {}", annotation), container, pod);
  }
  const Value* secrets = get(*live, {"secrets"});
  if (secrets == nullptr || !secrets->is_array()) return;
  for (const Value& secret : *secrets->if_array()) {
    use_secret_named(build, secret.string_at({"name"}), fmt::format("ServiceAccount {}", name),
                     container, pod);
  }
}

void add_ca_bundle(const Build& build, Value& container, Value& pod) {
  const Settings::Storage& storage = build.settings().storage;
  const Value* env = container.find("env");
  const auto variable = [&](std::string_view name) {
    const Value* entry = named(env, name);
    return entry == nullptr ? std::string() : std::string(entry->string_at({"value"}));
  };
  std::string map = variable(kBundleConfigMap);
  if (storage.ca_bundle_config_map.empty() && map.empty()) return;
  if (map.empty()) {
    map = build.ns == build.settings().system_namespace ? storage.ca_bundle_config_map
                                                        : std::string(kGlobalBundle);
  }
  std::string path = storage.ca_bundle_mount_path;
  if (const std::string file = variable(kBundle); !file.empty()) {
    path = file.substr(0, std::max<std::size_t>(1, file.rfind('/')));
  }
  add_named(container["env"], Object{{"name", "CA_BUNDLE_CONFIGMAP_NAME"}, {"value", map}});
  add_named(container["env"], Object{{"name", "CA_BUNDLE_VOLUME_MOUNT_POINT"}, {"value", path}});
  container["volumeMounts"].push_back(
      Object{{"mountPath", path}, {"name", "cabundle-cert"}, {"readOnly", true}});
  add_named(pod["volumes"],
            Object{{"name", "cabundle-cert"}, {"configMap", Object{{"name", map}}}});
}

}  // namespace baton::plan
