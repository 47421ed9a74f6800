#include "control/reconcile/tls_secret.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/log.hpp"
#include "base/text/base64.hpp"
#include "control/reconcile/fields.hpp"
#include "net/kube/digest.hpp"
#include "net/tls/certificate.hpp"

namespace baton::reconcile {

namespace {

using kube::Object;

// Years of 365 days, as upstream counts: valid for 12, renewed after 8.
constexpr auto kYear = std::chrono::hours(24 * 365);
constexpr auto kValid = 12 * kYear;
constexpr auto kRenewed = 8 * kYear;
constexpr std::string_view kPickerComponent = "llminferenceservice-router-scheduler";

bool is_address(std::string_view text) {
  std::array<unsigned char, 16> out{};
  const std::string z(text);
  return inet_pton(AF_INET, z.c_str(), out.data()) == 1 ||
         inet_pton(AF_INET6, z.c_str(), out.data()) == 1;
}

void tidy(std::vector<std::string>& names) {
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
}

std::string decoded(const Object& secret, std::string_view key) {
  const auto text = text::parse_base64(secret.string_at({"data", key}));
  return text ? *text : "";
}

}  // namespace

CertificateNames certificate_names(const plan::Wish& wish,
                                   const std::vector<kube::SnapshotPtr>& pods,
                                   const std::vector<kube::SnapshotPtr>& services) {
  CertificateNames out{wish.dns_names, wish.addresses};
  const auto add = [&](std::string_view address) {
    if (is_address(address)) out.ips.emplace_back(address);
  };
  for (const auto& pod : pods) {
    if (kube::label(pod->object, "app.kubernetes.io/component") == kPickerComponent) continue;
    add(pod->object.string_at({"status", "podIP"}));
    for (const auto& ip : items(pod->object, {"status", "podIPs"})) add(ip.string_at({"ip"}));
  }
  for (const auto& service : services) {
    if (service->object.string_at({"kind"}) == "Service") {
      add(service->object.string_at({"spec", "clusterIP"}));
    }
  }
  tidy(out.dns);
  tidy(out.ips);
  return out;
}

Wall renewal_time(const Object& secret, const std::vector<std::string>& expiration_annotations) {
  for (const auto& key : expiration_annotations) {
    if (const auto at = kube::parse_timestamp(kube::annotation(secret, key))) return *at;
  }
  return Wall::max();
}

std::string renewal_reason(const Object& secret, const CertificateNames& names,
                           const std::vector<std::string>& expiration_annotations, Wall now) {
  if (renewal_time(secret, expiration_annotations) <= now) return "it is due for renewal";
  const auto certificate = decoded(secret, "tls.crt");
  if (auto pair = tls::check_pair(certificate, decoded(secret, "tls.key"), now); !pair) {
    return pair.error().message();
  }
  const auto chain = tls::read_certificates(certificate);
  if (!chain) return chain.error().message();
  if (!chain->front().covers(names.dns, names.ips)) return "it lacks names or addresses";
  return "";
}

Result<Object> SecretKeeper::make(const Object& frame, const CertificateNames& names,
                                  const std::vector<std::string>& expiration_annotations) const {
  const auto now = clock_.wall();
  tls::CertificateSpec spec;
  spec.organization = "Kserve Self Signed";
  spec.dns = names.dns;
  spec.ips = names.ips;
  spec.not_before = now - std::chrono::hours(1);  // clocks of other nodes
  spec.not_after = now + kValid;
  BATON_TRY_ASSIGN(const auto made, tls::make_self_signed(spec));
  Object out = frame;
  out["type"] = "kubernetes.io/tls";
  out["metadata"]["annotations"][expiration_annotations.front()] = kube::timestamp(now + kRenewed);
  out["data"]["tls.key"] = text::base64(made.key_pem);
  out["data"]["tls.crt"] = text::base64(made.certificate_pem);
  out["data"]["ca.crt"] = text::base64(made.certificate_pem);
  return out;
}

Result<kube::SnapshotPtr> SecretKeeper::current(
    Applier& applier, const Object& frame, const CertificateNames& names,
    const std::vector<std::string>& expiration_annotations, Deadline deadline) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(frame));
  const auto live = cluster_.get(key, deadline);
  if (!live && live.error().code() != Code::kNotFound) return live.error();
  if (live && !applier.controls(*live)) {
    return conflict(
        fmt::format("{} exists and is not controlled by this service", kube::to_string(key)));
  }
  const auto reason = live ? renewal_reason(*live, names, expiration_annotations, clock_.wall())
                           : std::string("it is gone");
  if (reason.empty()) {
    return std::make_shared<const kube::Snapshot>(
        kube::Snapshot{*live, kube::digest_of_content(*live)});
  }
  log::info("new certificate", {{"secret", kube::to_string(key)}, {"reason", reason}});
  BATON_TRY_ASSIGN(const auto wanted, make(frame, names, expiration_annotations));
  return applier.apply(wanted);
}

Result<Wall> SecretKeeper::keep(Applier& applier, const Object& frame,
                                const CertificateNames& names, const kube::SnapshotPtr& cached,
                                const std::vector<std::string>& expiration_annotations,
                                Deadline deadline) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(frame));
  const auto now = clock_.wall();
  if (cached) {
    const std::lock_guard lock(mutex_);
    const auto found = good_.find(key);
    if (found != good_.end() && found->second.content == cached->content &&
        found->second.due > now && applier.controls(cached->object) &&
        std::ranges::includes(found->second.names.dns, names.dns) &&
        std::ranges::includes(found->second.names.ips, names.ips)) {
      return found->second.due;
    }
  }
  kube::SnapshotPtr kept;
  if (!cached) {
    // Hardly ever is there one that the cache does not show: to look would cost as much as to try.
    BATON_TRY_ASSIGN(const auto wanted, make(frame, names, expiration_annotations));
    auto made = applier.make(wanted);
    if (!made && made.error().code() != Code::kConflict) return std::move(made).error();
    if (made) kept = *std::move(made);
  }
  if (!kept) {
    BATON_TRY_ASSIGN(kept, current(applier, frame, names, expiration_annotations, deadline));
  }
  const auto due = renewal_time(kept->object, expiration_annotations);
  const std::lock_guard lock(mutex_);
  good_[key] = {kept->content, names, due};
  return due;
}

}  // namespace baton::reconcile
