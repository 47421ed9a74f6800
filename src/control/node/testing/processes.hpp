#pragma once
// For tests: the processes that a node agent has started.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace baton::node::testing {

// How many there are whose environment names the folder.
inline int processes_of(const std::filesystem::path& state) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream in(entry.path() / "environ");
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    if (text.find(state.string()) != std::string::npos) ++count;
  }
  return count;
}

}  // namespace baton::node::testing
