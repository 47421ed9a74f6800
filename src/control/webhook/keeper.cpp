#include "control/webhook/keeper.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <string_view>
#include <utility>

#include "base/core/log.hpp"
#include "base/text/base64.hpp"
#include "control/webhook/configurations.hpp"
#include "formats/api/crd.hpp"
#include "net/kube/object.hpp"
#include "net/tls/certificate.hpp"

namespace baton::webhook {
namespace {

using text::json::Array;

constexpr std::string_view kManagedBy = "app.kubernetes.io/managed-by";
constexpr std::string_view kOurs = "baton";
constexpr std::string_view kCertManagerMade = "cert-manager.io/certificate-name";
constexpr std::string_view kCertManagerInjects = "cert-manager.io/inject-ca-from";

const kube::Type kSecret{"", "v1", "Secret"};
const kube::Type kDefinition{"apiextensions.k8s.io", "v1", "CustomResourceDefinition"};
const kube::Type kMutating{"admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"};
const kube::Type kValidating{"admissionregistration.k8s.io", "v1",
                             "ValidatingWebhookConfiguration"};

std::vector<kube::ObjectKey> trusting() {
  return {{kDefinition, "", std::string(api::kServiceCrd)},
          {kDefinition, "", std::string(api::kConfigCrd)},
          {kMutating, "", std::string(kServiceHooks)},
          {kValidating, "", std::string(kServiceHooks)},
          {kValidating, "", std::string(kConfigHooks)}};
}

// What cannot be decoded counts as absent: it is made anew.
std::string data(const kube::Object& secret, std::string_view key) {
  const std::string_view text = secret.string_at({"data", key});
  return text::parse_base64(text).value_or("");
}

// Every WebhookClientConfig in a webhook configuration or definition.
std::vector<kube::Object*> client_configs(kube::Object& object) {
  std::vector<kube::Object*> out;
  if (kube::Object* hooks = object.find("webhooks"); hooks != nullptr && hooks->is_array()) {
    for (kube::Object& hook : *hooks->if_array()) out.push_back(hook.find("clientConfig"));
  } else {
    kube::Object* at = &object;
    for (const std::string_view key : {"spec", "conversion", "webhook", "clientConfig"}) {
      at = at == nullptr ? nullptr : at->find(key);
    }
    out.push_back(at);
  }
  std::erase_if(out, [](const kube::Object* one) { return one == nullptr || !one->is_object(); });
  return out;
}

// "https://host:port/path" -> "host"; "" for anything else.
std::string host_of(std::string_view url) {
  constexpr std::string_view kScheme = "https://";
  if (!url.starts_with(kScheme)) return "";
  url.remove_prefix(kScheme.size());
  url = url.substr(0, url.find('/'));
  if (url.starts_with('[')) return std::string(url.substr(1, url.find(']') - 1));
  return std::string(url.substr(0, url.find(':')));
}

bool is_address(const std::string& host) {
  boost::system::error_code error;
  (void)boost::asio::ip::make_address(host, error);
  return !error;
}

// Sets caBundle wherever it is another; whether that changed anything.
bool set_bundles(kube::Object& object, std::string_view bundle) {
  bool changed = false;
  for (kube::Object* config : client_configs(object)) {
    if (config->string_at({"caBundle"}) == bundle) continue;
    (*config)["caBundle"] = bundle;
    changed = true;
  }
  return changed;
}

}  // namespace

struct Keeper::Found {
  kube::Object secret;  // null: there is none
  Credentials credentials;
  bool foreign = false;
};

Keeper::Keeper(kube::Cluster& cluster, const Clock& clock, Config config)
    : cluster_(cluster), clock_(clock), config_(std::move(config)) {}

Result<Keeper::Found> Keeper::read(Deadline deadline) {
  auto secret = cluster_.get({kSecret, config_.ns, config_.secret}, deadline);
  if (!secret) {
    if (secret.error().code() == Code::kNotFound) return Found();
    return std::move(secret).error();
  }
  Found found{*std::move(secret), {}, false};
  found.credentials = {data(found.secret, "ca.crt"), data(found.secret, "ca.key"),
                       data(found.secret, "tls.crt"), data(found.secret, "tls.key")};
  const bool made = !found.credentials.certificate.empty();
  found.foreign = !kube::annotation(found.secret, kCertManagerMade).empty() ||
                  (made && kube::label(found.secret, kManagedBy) != kOurs);
  return found;
}

Status Keeper::write(const Found& found, const Credentials& credentials, Deadline deadline) {
  const kube::Object content =
      kube::Object(text::json::Object{{"ca.crt", text::base64(credentials.authorities)},
                                      {"ca.key", text::base64(credentials.authority_key)},
                                      {"tls.crt", text::base64(credentials.certificate)},
                                      {"tls.key", text::base64(credentials.key)}});
  if (found.secret.is_null()) {
    const kube::Object secret = text::json::Object{
        {"apiVersion", "v1"},
        {"kind", "Secret"},
        {"metadata",
         text::json::Object{{"name", config_.secret},
                            {"namespace", config_.ns},
                            {"labels", text::json::Object{{std::string(kManagedBy), kOurs}}}}},
        {"type", "kubernetes.io/tls"},
        {"data", content}};
    BATON_TRY(cluster_.create(secret, kube::DryRun::kNo, deadline));
    return {};
  }
  kube::Object secret = found.secret;
  secret["data"] = content;
  kube::Object& labels = secret["metadata"]["labels"];
  if (!labels.is_object()) labels = text::json::Object();
  labels[kManagedBy] = kOurs;
  BATON_TRY(cluster_.update(secret, kube::DryRun::kNo, deadline));
  return {};
}

Status Keeper::trust_in(const kube::ObjectKey& key, const std::string& bundle, bool foreign,
                        Deadline deadline) {
  for (int attempt = 0;; ++attempt) {
    auto object = cluster_.get(key, deadline);
    if (!object) {
      if (object.error().code() != Code::kNotFound) return std::move(object).error();
      missing_.push_back(fmt::format("{} {}", key.type.kind, key.name));
      return {};
    }
    note_hosts(*object);
    if (foreign && !kube::annotation(*object, kCertManagerInjects).empty()) return {};
    if (bundle.empty() || !set_bundles(*object, bundle)) return {};
    const auto updated = cluster_.update(*object, kube::DryRun::kNo, deadline);
    if (updated) {
      ++announced_;
      return {};
    }
    const bool again =
        updated.error().code() == Code::kConflict && attempt < kube::kConflictRetries;
    if (!again) return updated.error().with(kube::to_string(key));
  }
}

void Keeper::note_hosts(kube::Object& object) {
  for (const kube::Object* config : client_configs(object)) {
    const std::string host = host_of(config->string_at({"url"}));
    auto& known = is_address(host) ? called_.ips : called_.dns;
    if (!host.empty() && std::ranges::find(known, host) == known.end()) known.push_back(host);
  }
}

ServedNames Keeper::names() const {
  ServedNames out = config_.names;
  out.dns.insert(out.dns.end(), called_.dns.begin(), called_.dns.end());
  out.ips.insert(out.ips.end(), called_.ips.begin(), called_.ips.end());
  return out;
}

// Without authorities (nothing was made yet, or a foreign Secret's are public) nothing is written.
Status Keeper::trust(const std::string& authorities, bool foreign, Deadline deadline) {
  missing_.clear();
  called_ = {};
  const std::string bundle = text::base64(authorities);
  for (const kube::ObjectKey& key : trusting()) {
    BATON_TRY(trust_in(key, bundle, foreign, deadline));
  }
  if (const int objects = std::exchange(announced_, 0); objects > 0) {
    log::info("webhook authority announced", {{"objects", objects}});
  }
  return {};
}

Result<Credentials> Keeper::pass(Deadline deadline) {
  for (int attempt = 0;; ++attempt) {
    BATON_TRY_ASSIGN(const Found found, read(deadline));
    if (found.foreign) {
      BATON_TRY(tls::check_pair(found.credentials.certificate, found.credentials.key, clock_.wall())
                    .with(fmt::format("Secret {}/{}", config_.ns, config_.secret)));
      BATON_TRY(trust(found.credentials.authorities, true, deadline));
      return found.credentials;
    }
    // First the trust, then what needs it.
    BATON_TRY(trust(found.credentials.authorities, false, deadline));
    BATON_TRY_ASSIGN(const auto next,
                     next_credentials(found.credentials, names(), Trust::kComplete, clock_.wall()));
    if (!next) return found.credentials;
    const Status written = write(found, *next, deadline);
    if (written) {
      log::info("webhook certificates renewed", {{"secret", config_.ns + "/" + config_.secret}});
      BATON_TRY(trust(next->authorities, false, deadline));
      return *next;
    }
    // Another replica was faster: take what it made.
    const bool again =
        written.error().code() == Code::kConflict && attempt < kube::kConflictRetries;
    if (!again) {
      return written.error().with(fmt::format("Secret {}/{}", config_.ns, config_.secret));
    }
  }
}

}  // namespace baton::webhook
