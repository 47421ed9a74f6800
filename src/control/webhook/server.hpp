#pragma once
// The webhooks as an HTTPS server that makes and renews its own certificates.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "control/webhook/review.hpp"
#include "net/http/message.hpp"
#include "net/kube/cluster.hpp"

namespace baton::webhook {

// Three kinds of threads: an event loop, a small pool that answers reviews, and one that looks
// after the certificates every minute. Every replica of a controller runs one, leader or not.
//
// RBAC: get, create, update of the Secret; get, update of the two definitions and the three webhook
// configurations (keeper.hpp).
class Server {
 public:
  struct Deps {
    kube::Cluster& cluster;
    const Clock& clock;
    observe::Registry& registry;
    std::function<Context()> context;  // for each review, on a thread of the pool
  };
  struct Config {
    http::Endpoint listen = {"0.0.0.0", 9443};
    std::string ns = "kserve";  // of the Service and the Secret
    std::string service = "llmisvc-webhook-server-service";
    std::string secret = "llmisvc-webhook-server-cert";
    std::string cluster_domain = "cluster.local";
    // Further names and addresses the certificate is for, beside the hosts of URLs (keeper.hpp).
    std::vector<std::string> dns = {};
    std::vector<std::string> ips = {};
    std::size_t threads = 2;  // of the pool
  };

  // Returns when reviews are answered. Until the deadline it is tried again every second. Errors:
  // Keeper's; kConflict: the address is in use.
  static Result<std::unique_ptr<Server>> start(Deps deps, Config config, Deadline deadline);
  ~Server();

  http::Endpoint address() const;
  // The certificate that is served is valid.
  bool ready() const;
  // Reviews that are being answered are answered. The destructor waits for none.
  void stop(Deadline deadline);

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::webhook
