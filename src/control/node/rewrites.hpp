#pragma once
// What becomes of a container's command on this machine. Presets are written for containers in a
// cluster; this is the one place that says what differs when they run as processes. Pure; `plan`
// prints the notes.

#include <string>
#include <vector>

#include "control/node/config.hpp"
#include "control/node/environment.hpp"
#include "control/node/mounts.hpp"
#include "control/node/programs.hpp"
#include "net/kube/cluster.hpp"

namespace baton::node {

struct PodFacts {
  std::string address;         // of the pod
  std::string allowlist_file;  // for the sidecar: who it may prefill at
  std::string directory;       // the pod's folder: where processes start, and HOME by default
  std::string bin;             // the folder of links "vllm", "pd-sidecar", "epp"
  std::string gpus;            // CUDA_VISIBLE_DEVICES; "" leaves it alone
  Mounts mounts = Mounts::kRewrite;
};

struct Launch {
  Program program = Program::kOther;
  std::vector<std::string> argv;  // empty for kStorageInitializer
  std::vector<std::string> args;  // the container's args, expanded: the initializer's [uri, path]
  Environment env;
  std::vector<std::string> notes;  // one sentence for each difference
};

// In this order:
//   1. $(NAME) in command and args is expanded; a container without command gets its image's.
//   2. Mount paths in command, args and environment become folders of this machine, unless the
//      container has them in a mount namespace.
//   3. The engine: with a stand-in, the model argument; --emulate-parallelism; for a foreign vllm
//      --host and VLLM_NIXL_SIDE_CHANNEL_HOST. Through VLLM_ADDITIONAL_ARGS when a script starts
//      it.
//   4. The sidecar: flags that ask an API server about the pool become --allowlist-file; --tracing.
//   5. The picker, where there is no API server: --metrics-endpoint-auth=false.
//   6. Environment: PATH begins with `bin`, BATON_POD_IP, BATON_MODELS_DIR, HOME; beside an API
//      server KUBERNETES_SERVICE_HOST and _PORT; the OTEL_… variables of `serve`.
// kDenied: a program or script that only --allow-exec permits, or a text that a preset script
// would hand to the shell a second time and that holds shell syntax.
Result<Launch> launch_for(const kube::Object& container, const PodFacts& facts, Environment env,
                          const std::vector<Mount>& mounts, const Config& config);

}  // namespace baton::node
