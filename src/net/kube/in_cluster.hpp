#pragma once
// Which API server to talk to, and as whom: the pod's own service account, or a kubeconfig.

#include <string>

#include "base/core/result.hpp"
#include "net/kube/access.hpp"

namespace baton::kube {

// Where every pod finds its service account.
inline constexpr const char* kServiceAccountFolder =
    "/var/run/secrets/kubernetes.io/serviceaccount";

// The access of a pod: the server of KUBERNETES_SERVICE_HOST and _PORT, with the token, ca.crt and
// namespace in `folder`. The token rotates; it is read again as it is used. kNotFound: no pod, or
// no service account is mounted.
Result<Access> in_cluster_access(const std::string& host, const std::string& port,
                                 const std::string& folder);

// What a process was told about its cluster, by flags and environment.
struct AccessHints {
  std::string kubeconfig;      // --kubeconfig
  std::string context;         // --context
  std::string kubeconfig_env;  // $KUBECONFIG
  std::string home;            // $HOME
  std::string service_host;    // $KUBERNETES_SERVICE_HOST
  std::string service_port;    // $KUBERNETES_SERVICE_PORT
  std::string service_account = kServiceAccountFolder;
};
// As the environment of this process says. For main.
AccessHints hints_of_environment();

// The first of: --kubeconfig, $KUBECONFIG, the pod's service account, ~/.kube/config. A --context
// asks for a kubeconfig. Files of $KUBECONFIG that do not exist are passed over, as kubectl does.
// kNotFound: none of them, and the message says where it looked.
Result<Access> find_access(const AccessHints& hints);

}  // namespace baton::kube
