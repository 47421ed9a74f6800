#pragma once
// Mount paths that are real: a process moves itself into a mount namespace whose root shows this
// machine plus its mounts. Nothing is written to the machine's own folders.

#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "control/node/mounts.hpp"

namespace baton::node {

struct Namespace {
  std::vector<Mount> mounts;
  std::vector<std::string> keep;   // stay visible even where a mount covers them
  std::vector<std::string> guard;  // may not be replaced: no mount at or in them
  std::string scratch;             // an empty folder; the new root is put together on it
};

// For the calling process, which must have one thread. Without privileges a user namespace with the
// same ids is made around it. Working directory afterwards: /.
//
//   /            memory          every entry is a bind of the machine's, links are copied
//   /models      memory, bind    a mount point that the machine has not
//   /run         memory          mirrored like / because /run/kserve is missing in it
//   /run/kserve  memory
//
// A mount point that is missing inside a writable volume is made there, as a kubelet does.
// kNotFound: the folder of a mount. kDenied: a mount replaces what is guarded. kUnsupported: the
// kernel, or a mount path, does not permit it; the process is then of no more use.
Status enter_namespace(Namespace wanted);

}  // namespace baton::node
