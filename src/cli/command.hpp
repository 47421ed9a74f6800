#pragma once
// What main calls. Each command parses its own flags (CLI11) in cli/<name>_command.cpp and composes
// the real parts there: the only place, with main, that reads the environment.

#include <span>
#include <string_view>

#include "base/core/result.hpp"

namespace CLI {
class App;
}

namespace baton::cli {

struct Command {
  std::string_view name;
  std::string_view summary;
  // argv[0] is the command's name. Returns the exit code (base/core/result.hpp: exit_code).
  int (*run)(int argc, char** argv);
};

// All commands, in the order of `baton --help`.
std::span<const Command> commands();

// In the help of those that take the flags of an upstream program.
inline constexpr std::string_view kUpstreamExitCodes =
    "Exit codes: 0 stopped, 2 a flag or setting is wrong, 4 a file or cluster is missing, 5 a port "
    "is taken, 9 a flag asks for what is not offered.";

// Parses; on --help or a wrong flag prints what is due and sets `exit` (0 or 2).
bool parse(CLI::App& app, int argc, char** argv, int& exit);

// "baton engine: <message>" on standard error; the code's exit status.
int fail(std::string_view command, const Error& error);

}  // namespace baton::cli
