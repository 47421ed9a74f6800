// The front door: finds the command and runs it.

#include <csignal>
#include <string_view>
#include <vector>

#include "base/core/build.hpp"
#include "base/core/nearest.hpp"
#include "base/core/result.hpp"
#include "cli/command.hpp"
#include "cli/print.hpp"
#include "cli/program_name.hpp"
#include "commit.hpp"
#include "control/node/mount_launcher.hpp"

namespace {

void print_help() {
  baton::cli::print(
      "baton: serve large language models with prefill and decode split\n\nCommands:\n");
  for (const auto& command : baton::cli::commands()) {
    baton::cli::print("  {:<10} {}\n", command.name, command.summary);
  }
  baton::cli::print(
      "\nEach has its own --help. Start with `baton serve`. `baton --version` tells what this "
      "is.\n");
}

int run(int argc, char** argv) {
  if (const auto code = baton::cli::run_as_named(argc, argv)) return *code;
  const std::string_view wanted = argc < 2 ? "" : argv[1];
  if (wanted.empty() || wanted == "--help" || wanted == "-h" || wanted == "help") {
    print_help();
    return argc < 2 ? 2 : 0;
  }
  if (wanted == "--version" || wanted == "version") {
    baton::cli::print("baton {} (commit {})\n", baton::build().version, baton::build().commit);
    return 0;
  }
  std::vector<std::string_view> names;
  for (const auto& command : baton::cli::commands()) {
    if (command.name == wanted) return command.run(argc - 1, argv + 1);
    names.push_back(command.name);
  }
  baton::cli::print(stderr, "baton: no command '{}'{}\n", wanted,
                    baton::did_you_mean(wanted, names));
  return baton::exit_code(baton::Code::kInvalid);
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto code = baton::node::run_as_mount_launcher(argc, argv)) return *code;
  baton::tell_build({BATON_VERSION, baton::kCommit});
  std::signal(SIGPIPE, SIG_IGN);
  return baton::cli::exit_code_of(run(argc, argv));
}
