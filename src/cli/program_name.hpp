#pragma once
// The binary under other names: a link called vllm, pd-sidecar or epp is the command that stands in
// for that program, so that unmodified manifests and scripts work.

#include <optional>

namespace baton::cli {

// Runs the command that the name in argv[0] means; nullopt when the name means nothing (baton
// itself).
std::optional<int> run_as_named(int argc, char** argv);

}  // namespace baton::cli
