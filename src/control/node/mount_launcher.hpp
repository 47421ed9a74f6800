#pragma once
// Starts a container's program in a mount namespace. The mounts are made by this binary itself,
// started under a name of its own in place of the program (async::Process::Spec::launcher): a
// process with one thread, which may do more than a child of a threaded one.

#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "control/node/config.hpp"
#include "control/node/mounts.hpp"

namespace baton::node {

// The link in <state>/bin whose name makes the binary a launcher.
inline constexpr std::string_view kMountLauncher = "baton-mounts";

// Process::Spec::launcher for these mounts.
std::vector<std::string> mount_launcher(const Config& config, const std::vector<Mount>& mounts);

// For main(), before anything else: does a launcher's work and becomes the program; nullopt when
// argv[0] is another name.
std::optional<int> run_as_mount_launcher(int argc, char** argv);

// Tries it once with mounts of every kind. kUnsupported: why it does not work here.
Status probe_mount_launcher(const Config& config, const Clock& clock);

}  // namespace baton::node
