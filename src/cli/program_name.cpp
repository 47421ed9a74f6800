#include "cli/program_name.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <string_view>

#include "base/core/result.hpp"
#include "cli/command.hpp"
#include "cli/print.hpp"
#include "engine/serve/service.hpp"

namespace baton::cli {
namespace {

struct Named {
  std::string_view program;
  std::string_view command;     // of ours
  std::string_view subcommand;  // the program's own, "" when it has none
};
constexpr std::array kNames = {
    Named{"vllm", "engine", "serve"},
    Named{"pd-sidecar", "sidecar", ""},
    Named{"epp", "epp", ""},
};

}  // namespace

std::optional<int> run_as_named(int argc, char** argv) {
  std::string_view name = argc > 0 ? argv[0] : "";
  name.remove_prefix(name.rfind('/') + 1);
  for (const Named& named : kNames) {
    if (named.program != name) continue;
    const std::string_view first = argc > 1 ? argv[1] : "";
    if (!named.subcommand.empty()) {
      if (first == "--version" || first == "-v") {
        cli::print("{}\n", serve::kVllmVersion);
        return 0;
      }
      if (first != named.subcommand) {
        cli::print(stderr, "{}: only '{} {}' is there\n", name, name, named.subcommand);
        return exit_code(Code::kInvalid);
      }
      --argc;
      ++argv;
    }
    for (const Command& command : commands()) {
      if (command.name == named.command) return command.run(argc, argv);
    }
    cli::print(stderr, "{}: this build of baton has no command '{}'\n", name, named.command);
    return exit_code(Code::kUnsupported);
  }
  return std::nullopt;
}

}  // namespace baton::cli
