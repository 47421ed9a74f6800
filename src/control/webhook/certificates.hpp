#pragma once
// Which certificates the webhooks should have: an authority of our own and what it signed, renewed
// in steps so that no API server ever meets a certificate that it does not trust yet. Pure but for
// the random source of the keys.
//
//   nothing usable ──> authority and certificate
//   authority old  ──> a new authority in front of the bundle; the certificate stays
//   announced to the API server ──> a certificate by the new authority
//   certificate old ──> another by the same authority
//   a while later  ──> the former authority leaves the bundle

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"

namespace baton::webhook {

inline constexpr std::chrono::hours kAuthorityLife{24 * 730};
inline constexpr std::chrono::hours kCertificateLife{24 * 90};
inline constexpr int kRenewAtShareLeft = 3;         // renewed when a third of the life is left
inline constexpr std::chrono::hours kClockSkew{1};  // certificates are valid from a little earlier
// How long a new authority is announced before it signs what is served: API servers notice late.
inline constexpr std::chrono::minutes kAnnounced{5};
// How long a former authority stays trusted after the last certificate of its was replaced: every
// replica has long taken the new one (Server looks every minute).
inline constexpr std::chrono::hours kOverlap{1};

// PEM texts; the data of the Secret under ca.crt, ca.key, tls.crt, tls.key.
struct Credentials {
  std::string authorities;    // what API servers trust, the one that signs first
  std::string authority_key;  // of the first; empty when somebody else makes the certificates
  std::string certificate;
  std::string key;
  friend bool operator==(const Credentials&, const Credentials&) = default;
};

// What the certificate must be good for.
struct ServedNames {
  std::vector<std::string> dns;
  std::vector<std::string> ips;
};

// Whether every webhook configuration and definition has `authorities`.
enum class Trust : bool { kPending, kComplete };

// The next step from `have`; nullopt when there is none to take now. At most one step at a time.
Result<std::optional<Credentials>> next_credentials(const Credentials& have,
                                                    const ServedNames& names, Trust trust,
                                                    Wall now);

}  // namespace baton::webhook
