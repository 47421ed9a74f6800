#pragma once
// A container's mount paths and the folders of this machine that stand for them. Where there are no
// mount namespaces, the paths are rewritten wherever the container's texts name them. Pure.

#include <string>
#include <string_view>
#include <vector>

namespace baton::node {

struct Mount {
  std::string path;    // in the container: "/mnt/models"
  std::string folder;  // on this machine
  // What only a mount namespace honours:
  bool read_only = false;
  bool in_memory = false;  // a file system in memory of the container's own, not `folder`
};

// The mount whose path stands at the start of `rest` and ends there as a path component, the
// longest; nullptr: none.
const Mount* mount_at(std::string_view rest, const std::vector<Mount>& mounts);

// Every occurrence of a mount path in `text` (whole, or followed by '/'), longest path first.
// What is put in is not looked at again.
std::string rewrite_paths(std::string_view text, const std::vector<Mount>& mounts);

}  // namespace baton::node
