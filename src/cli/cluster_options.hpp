#pragma once
// The API server of `--kubeconfig` and `--context`, for the commands that talk to one.

#include <memory>
#include <string>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "net/kube/access.hpp"
#include "net/kube/rest_cluster.hpp"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace baton::cli {

struct ClusterOptions {
  std::string kubeconfig, context;
};

// Returns the option --kubeconfig.
CLI::Option* add_cluster_flags(CLI::App& app, ClusterOptions& options);

// kNotFound: no flag, environment or file tells; kInvalid: what they tell makes no sense.
Result<kube::Access> access_of(const ClusterOptions& options);

// Exec plugins inherit the environment. `random` must outlive the cluster.
Result<std::unique_ptr<kube::RestCluster>> open_cluster(const kube::Access& access,
                                                        const Clock& clock, Random& random);

// Whether the address can only be this machine: 127.0.0.0/8, ::1, localhost. Pure.
bool is_this_machine(std::string_view host);

}  // namespace baton::cli
