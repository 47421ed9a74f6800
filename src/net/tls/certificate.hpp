#pragma once
// Certificates as PEM text: made, read, checked. No sockets.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"

namespace baton::tls {

enum class KeyKind : std::uint8_t { kEcdsaP256, kRsa2048, kRsa4096 };
enum class Usage : std::uint8_t { kServer, kClient, kBoth };  // extended key usage

// A certificate to be made. With no names at all it is good for peers that do not check any.
struct CertificateSpec {
  std::string common_name;
  std::string organization;
  std::vector<std::string> dns;  // "*.example" is a wildcard
  std::vector<std::string> ips;  // IPv4 or IPv6
  Wall not_before;
  Wall not_after;
  KeyKind key = KeyKind::kEcdsaP256;
  Usage usage = Usage::kServer;
};

struct CertifiedKey {
  std::string certificate_pem;  // of a signed one: itself, then what the CA's text has
  std::string key_pem;          // PKCS#8, "PRIVATE KEY"
};

// Keys and 128-bit serial numbers come from the library's own random source. RSA keys take from
// 0.1 s to seconds: not on an event loop. kInvalid: an empty validity, a name or address that
// is none.
Result<CertifiedKey> make_authority(const CertificateSpec& spec);
Result<CertifiedKey> make_self_signed(const CertificateSpec& spec);
// kInvalid as well when `authority` may not sign or its key does not match.
Result<CertifiedKey> make_signed(const CertificateSpec& spec, const CertifiedKey& authority);

struct CertificateInfo {
  std::string subject;  // "CN=a, O=b"
  std::string issuer;
  std::string serial;  // hex
  std::string key;     // "EC 256", "RSA 2048"
  std::vector<std::string> dns;
  std::vector<std::string> ips;  // textual, IPv6 as inet_ntop writes it
  Wall not_before;
  Wall not_after;
  bool authority = false;

  // Whether every one of these names is among dns, or ips. Exact: no wildcards.
  bool covers(const std::vector<std::string>& dns, const std::vector<std::string>& ips) const;
  friend bool operator==(const CertificateInfo&, const CertificateInfo&) = default;
};

inline constexpr std::size_t kMaxPemBytes = 4 << 20;
inline constexpr std::size_t kMaxCertificates = 1000;  // of one PEM; system bundles have 150

// The chain of a PEM in its order; other kinds of blocks are passed over. kInvalid: no certificate,
// a broken block, over a bound.
Result<std::vector<CertificateInfo>> read_certificates(std::string_view pem);

// Whether the key is that of the first certificate, and this one is valid at `now`. kInvalid says
// which of these fails.
Status check_pair(std::string_view certificate_pem, std::string_view key_pem, Wall now);

}  // namespace baton::tls
