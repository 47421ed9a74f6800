#pragma once
// Keeps the Secret with the webhooks' certificates, and tells the API server whom to trust:
// caBundle in the webhook configurations and in the definitions' conversion stanza. Blocking.

#include <string>
#include <vector>

#include "control/webhook/certificates.hpp"
#include "net/kube/cluster.hpp"

namespace baton::webhook {

// One thread at a time; any number of processes may keep the same Secret.
//
// The certificate is for the configured names and for every host of a URL by which a webhook is
// called (`baton crds --url`).
//
// A Secret that somebody else makes (cert-manager, or one without our label) is used as it is and
// never written; caBundle is then its ca.crt, left alone where cert-manager injects it.
class Keeper {
 public:
  struct Config {
    std::string ns = "kserve";
    std::string secret = "llmisvc-webhook-server-cert";
    ServedNames names;
  };
  Keeper(kube::Cluster& cluster, const Clock& clock, Config config);

  // Takes the steps that are due and returns what is to be served. Objects that are not there are
  // passed over: missing() names them. Errors: the cluster's, after kube::kConflictRetries;
  // kInvalid when a foreign Secret cannot be served.
  Result<Credentials> pass(Deadline deadline);

  // Webhook configurations and definitions that did not exist in the last pass.
  const std::vector<std::string>& missing() const { return missing_; }

 private:
  struct Found;
  Result<Found> read(Deadline deadline);
  Status write(const Found& found, const Credentials& credentials, Deadline deadline);
  Status trust(const std::string& authorities, bool foreign, Deadline deadline);
  void note_hosts(kube::Object& object);
  ServedNames names() const;
  Status trust_in(const kube::ObjectKey& key, const std::string& bundle, bool foreign,
                  Deadline deadline);

  kube::Cluster& cluster_;
  const Clock& clock_;
  const Config config_;
  std::vector<std::string> missing_;
  ServedNames called_;  // hosts of URLs, as of the last look
  int announced_ = 0;   // objects told of the authorities since the last log line
};

}  // namespace baton::webhook
