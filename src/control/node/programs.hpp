#pragma once
// Which program of this machine a container means: by the basename of its command, else by its
// image. A table, read in order. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace baton::node {

enum class Program : std::uint8_t {
  kEngine,              // `vllm`
  kSidecar,             // `pd-sidecar`
  kPicker,              // `epp`
  kStorageInitializer,  // done by the node agent itself
  kShell,               // bash or sh: a preset script, or what --allow-exec permits
  kOther,
};

// `command_name` is the basename of the command's first word, "" when the container has no command.
Program program_for(std::string_view command_name, std::string_view image);

// The name in the state folder's bin/ that starts the program: "vllm", "pd-sidecar", "epp".
std::string_view link_name(Program program);
// What the image's own entry point would be: the words before the container's args.
std::vector<std::string> default_command(Program program);
// Links that bin/ holds.
std::vector<std::string_view> all_links();

std::string_view basename(std::string_view path);

}  // namespace baton::node
