#pragma once
// What a TLS server or client needs to know, loaded once and shared by all of its connections.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"

namespace baton::tls {

// PEM of `file`, or `text` when that is empty. Authorities: also folders, "a:b" (as SSL_CERT_DIR).
struct Source {
  std::string file;
  std::string text;

  static Source of_file(std::string path) { return {std::move(path), ""}; }
  static Source of_text(std::string pem) { return {"", std::move(pem)}; }
};

enum class Version : std::uint8_t { kTls12, kTls13 };

inline constexpr const char* kHttp11 = "http/1.1";  // ALPN names, RFC 7301 6 and IANA
inline constexpr const char* kHttp2 = "h2";

// Handles. Thread-safe, immutable but for reload(): handshakes that begin after it use what was
// read, connections that stand keep what they have. Wherever something is wrong, the error names
// the file and the reason: not readable, no certificate in it, a key of another certificate.
class ServerContext {
 public:
  struct Config {
    Source certificate;  // followed by the rest of its chain
    Source key;
    std::optional<Source> client_authority =
        {};  // clients must show a certificate signed by one of these
    std::vector<std::string> alpn = {kHttp11};  // most wanted first; a client without ALPN may pass
    Version min_version = Version::kTls12;
    Version max_version = Version::kTls13;
    std::vector<std::string> cipher_suites = {};  // IANA names, for TLS 1.2; empty: the library's
  };
  // kNotFound: no such file. kInvalid: what is in it, expired included.
  static Result<std::shared_ptr<ServerContext>> open(Config config, const Clock& clock);
  ~ServerContext();

  // What cannot be read leaves everything as it was. Not on an event loop: reads files.
  Status reload();
  // Another pair instead, until reload(): for certificates that live in no file. What cannot be
  // used leaves everything as it was.
  Status use(Source certificate, Source key);
  std::vector<std::string> files() const;

  struct Impl;
  const Impl& impl() const { return *impl_; }  // for net/tls itself

 private:
  explicit ServerContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class ClientContext {
 public:
  // kNone: any certificate will do, as the kubelet's probes and llm-d's skip-verify want it.
  enum class Verify : bool { kNone, kFull };

  struct Config {
    std::optional<Source> authority = {};    // one or more; nullopt: the system's
    Verify verify = Verify::kFull;           // chain, validity, and the name or address dialled
    std::optional<Source> certificate = {};  // both or neither
    std::optional<Source> key = {};
    std::string server_name = {};  // to ask for (SNI) and verify instead of the host dialled
    std::vector<std::string> alpn = {kHttp11};
    Version min_version = Version::kTls12;
    Version max_version = Version::kTls13;
  };
  static Result<std::shared_ptr<ClientContext>> open(Config config, const Clock& clock);
  ~ClientContext();

  // Also forgets the sessions that could be resumed.
  Status reload();
  std::vector<std::string> files() const;

  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  explicit ClientContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::tls
