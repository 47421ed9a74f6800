#pragma once
// For tests: authorities, pairs and contexts made on the spot.

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/tls/certificate.hpp"
#include "net/tls/context.hpp"

namespace baton::tls::testing {

template <class T>
T must(Result<T> result) {
  if (!result) std::abort();
  return *std::move(result);
}

inline CertificateSpec spec_of(std::string name, const Clock& clock,
                               std::vector<std::string> dns = {"localhost"},
                               std::vector<std::string> ips = {"127.0.0.1"}) {
  CertificateSpec spec;
  spec.common_name = std::move(name);
  spec.dns = std::move(dns);
  spec.ips = std::move(ips);
  spec.not_before = clock.wall() - std::chrono::hours(1);
  spec.not_after = clock.wall() + std::chrono::hours(24);
  spec.usage = Usage::kBoth;
  return spec;
}

// An authority with what it signed for "localhost" and 127.0.0.1.
struct Credentials {
  CertifiedKey authority;
  CertifiedKey pair;

  static Credentials make(const std::string& name, const Clock& clock) {
    CertifiedKey root = must(make_authority(spec_of(name + "-ca", clock, {}, {})));
    CertifiedKey leaf = must(make_signed(spec_of(name, clock), root));
    return {std::move(root), std::move(leaf)};
  }

  ServerContext::Config server() const {
    return {.certificate = Source::of_text(pair.certificate_pem),
            .key = Source::of_text(pair.key_pem)};
  }
  ClientContext::Config client() const {
    return {.authority = Source::of_text(authority.certificate_pem)};
  }
};

inline std::shared_ptr<ServerContext> open_server(ServerContext::Config config,
                                                  const Clock& clock) {
  return must(ServerContext::open(std::move(config), clock));
}
inline std::shared_ptr<ClientContext> open_client(ClientContext::Config config,
                                                  const Clock& clock) {
  return must(ClientContext::open(std::move(config), clock));
}

}  // namespace baton::tls::testing
