#pragma once
// How much memory this process may still take: what asks for more is refused before it makes the
// machine swap.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::cli {

// The machine's, of the text of /proc/meminfo. Bytes; nullopt when it does not tell. Pure.
std::optional<std::uint64_t> available_of_machine(std::string_view meminfo);
// A control group's, of its memory.max, memory.current and memory.stat (version 2); nullopt without
// a limit. Files that were read before and can be dropped count as free. Pure.
std::optional<std::uint64_t> available_of_group(std::string_view max, std::string_view current,
                                                std::string_view stat);

// Of the text of /proc/self/cgroup (version 2) the folders of the process's group and of those it
// is in, each of which may have a limit: "/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a",
// "/sys/fs/cgroup". Pure.
std::vector<std::string> group_folders(std::string_view cgroup);

// The smallest of these and what the process's own limit (RLIMIT_AS) leaves; nullopt when nothing
// can be told.
std::optional<std::uint64_t> free_memory();

// kExhausted: `what` needs more than there is; `advice` says what to do.
Status fits(std::uint64_t bytes, std::optional<std::uint64_t> free, std::string_view what,
            std::string_view advice);

}  // namespace baton::cli
