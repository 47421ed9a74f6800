#pragma once
// TLS of `serve --tls`: towards clients with a pair from files or one made here, towards pods with
// whatever certificates the controller gave their services.

#include <map>
#include <memory>
#include <string>

#include "net/kube/cluster.hpp"
#include "net/tls/context.hpp"
#include "net/tls/reload.hpp"

namespace baton::cli {

class ServeTls {
 public:
  struct Options {
    std::string certificate, key;  // PEM files; empty: a self-signed pair for `host` and localhost
    std::string host;              // that the gateway listens on
    std::string state_dir;
  };
  // Writes <state>/tls: gateway.crt, which clients verify with when it was made here, and
  // authorities.pem, what pods are verified with.
  static Result<std::unique_ptr<ServeTls>> open(const Options& options, const Clock& clock);

  std::shared_ptr<const tls::ServerContext> listener() const { return listener_; }
  std::shared_ptr<const tls::ClientContext> dialler() const { return dialler_; }
  // Of a certificate that was made here; "" otherwise.
  const std::string& certificate_file() const { return certificate_file_; }

  // A Secret came, changed or went: its ca.crt is trusted while it is there. From one thread.
  void note(const kube::Event& event);

 private:
  ServeTls() = default;
  Status make_listener(const Options& options, const Clock& clock);
  Status write_authorities() const;

  std::shared_ptr<tls::ServerContext> listener_;
  std::shared_ptr<tls::ClientContext> dialler_;
  std::unique_ptr<tls::Reloader> reloader_;
  std::string folder_, certificate_file_;
  std::map<std::string, std::string> authorities_;  // by namespace/name, PEM
};

}  // namespace baton::cli
