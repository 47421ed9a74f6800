#include "control/webhook/certificates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "net/tls/certificate.hpp"

namespace baton::webhook {
namespace {

constexpr std::string_view kEndLine = "-----END CERTIFICATE-----";

struct Authority {
  std::string pem;
  tls::CertificateInfo info;
};

// The authorities of a bundle that are valid; what cannot be read is left out.
std::vector<Authority> valid_authorities(std::string_view bundle, Wall now) {
  std::vector<Authority> out;
  while (true) {
    const std::size_t end = bundle.find(kEndLine);
    if (end == std::string_view::npos) return out;
    std::string pem(bundle.substr(0, end + kEndLine.size()));
    bundle.remove_prefix(end + kEndLine.size());
    pem.erase(0, std::min(pem.find("-----BEGIN"), pem.size()));
    pem += '\n';
    const auto read = tls::read_certificates(pem);
    if (!read || read->size() != 1) continue;
    const tls::CertificateInfo& info = read->front();
    if (info.authority && info.not_before <= now && now < info.not_after) {
      out.push_back({std::move(pem), info});
    }
  }
}

std::string joined(const std::vector<Authority>& authorities) {
  std::string out;
  for (const Authority& one : authorities) out += one.pem;
  return out;
}

bool is_old(const tls::CertificateInfo& info, Wall now) {
  return (info.not_after - now) * kRenewAtShareLeft < info.not_after - info.not_before;
}

// Subjects of authorities differ: a certificate's issuer tells which one signed it.
Result<tls::CertifiedKey> new_authority(Wall now) {
  tls::CertificateSpec spec;
  spec.common_name =
      fmt::format("baton-webhook-authority-{}", std::chrono::system_clock::to_time_t(now));
  spec.not_before = now - kClockSkew;
  spec.not_after = now + kAuthorityLife;
  return tls::make_authority(spec);
}

Status sign(Credentials& out, const Authority& authority, const ServedNames& names, Wall now) {
  tls::CertificateSpec spec;
  spec.common_name = names.dns.empty() ? "baton-webhook" : names.dns.front();
  spec.dns = names.dns;
  spec.ips = names.ips;
  spec.not_before = now - kClockSkew;
  spec.not_after = std::min(now + kCertificateLife, authority.info.not_after);
  BATON_TRY_ASSIGN(tls::CertifiedKey made,
                   tls::make_signed(spec, {authority.pem, out.authority_key}));
  out.certificate = std::move(made.certificate_pem);
  out.key = std::move(made.key_pem);
  return {};
}

// The served certificate when it can be served: valid, with its key, for the names, and signed by
// one of the authorities.
std::optional<tls::CertificateInfo> usable(const Credentials& have, const ServedNames& names,
                                           const std::vector<Authority>& authorities, Wall now) {
  if (!tls::check_pair(have.certificate, have.key, now)) return std::nullopt;
  const auto read = tls::read_certificates(have.certificate);
  if (!read || !read->front().covers(names.dns, names.ips)) return std::nullopt;
  const bool trusted = std::ranges::any_of(
      authorities, [&](const Authority& one) { return one.info.subject == read->front().issuer; });
  return trusted ? std::optional(read->front()) : std::nullopt;
}

}  // namespace

Result<std::optional<Credentials>> next_credentials(const Credentials& have,
                                                    const ServedNames& names, Trust trust,
                                                    Wall now) {
  std::vector<Authority> authorities = valid_authorities(have.authorities, now);
  const bool can_sign = !authorities.empty() &&
                        tls::check_pair(authorities.front().pem, have.authority_key, now) &&
                        have.authorities.starts_with(authorities.front().pem);
  Credentials next = have;
  if (!can_sign || is_old(authorities.front().info, now)) {
    BATON_TRY_ASSIGN(tls::CertifiedKey made, new_authority(now));
    next.authority_key = std::move(made.key_pem);
    std::vector<Authority> fresh = valid_authorities(made.certificate_pem, now);
    if (fresh.empty()) return internal("a new authority that is not valid");
    const bool served = usable(have, names, authorities, now).has_value();
    authorities.insert(authorities.begin(), std::move(fresh.front()));
    next.authorities = joined(authorities);
    if (!served) {
      BATON_TRY(sign(next, authorities.front(), names, now));
    }
    return std::optional(std::move(next));
  }
  const Authority& current = authorities.front();
  const auto certificate = usable(have, names, authorities, now);
  const bool by_current = certificate && certificate->issuer == current.info.subject;
  const bool announced =
      trust == Trust::kComplete && now - (current.info.not_before + kClockSkew) >= kAnnounced;
  const bool due = certificate && (by_current ? is_old(*certificate, now) : announced);
  if (!certificate || due) {
    BATON_TRY(sign(next, current, names, now));
    return std::optional(std::move(next));
  }
  // Former authorities leave, expired ones at once.
  if (by_current && now - (certificate->not_before + kClockSkew) > kOverlap) authorities.resize(1);
  next.authorities = joined(authorities);
  if (next == have) return std::optional<Credentials>();
  return std::optional(std::move(next));
}

}  // namespace baton::webhook
