#include "cli/command.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>

namespace baton::cli {

int run_bench(int argc, char** argv);
int run_chat(int argc, char** argv);
int run_logs(int argc, char** argv);
int run_engine(int argc, char** argv);
int run_plan(int argc, char** argv);
int run_serve(int argc, char** argv);
int run_gateway(int argc, char** argv);
int run_sidecar(int argc, char** argv);

std::span<const Command> commands() {
  static constexpr std::array kCommands{
      Command{"serve", "serve the models of manifests on this machine", run_serve},
      Command{"engine", "serve a model on the CPU, as `vllm serve`", run_engine},
      Command{"chat", "talk to a server and see how each answer was made", run_chat},
      Command{"bench", "load a server and measure its answers", run_bench},
      Command{"logs", "what a container of a served pod wrote", run_logs},
      Command{"plan", "print what a manifest leads to, create nothing", run_plan},
      Command{"gateway", "the HTTP front door with the picker inside", run_gateway},
      Command{"sidecar", "stand before a decode engine, run the prefill leg first", run_sidecar},
  };
  return kCommands;
}

bool parse(CLI::App& app, int argc, char** argv, int& exit) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    exit = 0;
  } catch (const CLI::ParseError& e) {
    fmt::print(stderr, "baton {}: {}\nRun with --help for the flags.\n", app.get_name(), e.what());
    exit = exit_code(Code::kInvalid);
  }
  return false;
}

int fail(std::string_view command, const Error& error) {
  fmt::print(stderr, "baton {}: {}\n", command, error.message());
  return exit_code(error.code());
}

}  // namespace baton::cli
