#include "cli/command.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "base/core/nearest.hpp"
#include "cli/print.hpp"

namespace baton::cli {

int run_bench(int argc, char** argv);
int run_chat(int argc, char** argv);
int run_controller(int argc, char** argv);
int run_crds(int argc, char** argv);
int run_logs(int argc, char** argv);
int run_models(int argc, char** argv);
int run_engine(int argc, char** argv);
int run_epp(int argc, char** argv);
int run_plan(int argc, char** argv);
int run_pull(int argc, char** argv);
int run_rm(int argc, char** argv);
int run_serve(int argc, char** argv);
int run_gateway(int argc, char** argv);
int run_node(int argc, char** argv);
int run_sidecar(int argc, char** argv);

namespace {

// The first argument that is none, with the nearest flag.
std::string unexpected(const CLI::App& app) {
  const auto extra = app.remaining();
  const auto flag =
      std::ranges::find_if(extra, [](const std::string& word) { return word.starts_with("-"); });
  if (flag == extra.end()) return fmt::format("nothing is known of '{}'", extra.front());
  const auto name = flag->substr(0, flag->find('='));
  std::vector<std::string> known;
  for (const auto* option : app.get_options()) {
    for (const auto& word : option->get_lnames()) known.push_back("--" + word);
  }
  const std::vector<std::string_view> names(known.begin(), known.end());
  return fmt::format("no flag {}{}", name, did_you_mean(name, names));
}

}  // namespace

std::span<const Command> commands() {
  static constexpr std::array kCommands{
      Command{"serve", "serve a model, or those of manifests, on this machine", run_serve},
      Command{"engine", "serve a model on the CPU, as `vllm serve`", run_engine},
      Command{"chat", "talk to a server and see how each answer was made", run_chat},
      Command{"pull", "get a model from the Hugging Face hub", run_pull},
      Command{"models", "list the models on this machine", run_models},
      Command{"rm", "remove a model from this machine", run_rm},
      Command{"bench", "load a server and measure its answers", run_bench},
      Command{"logs", "what a container of a served pod wrote", run_logs},
      Command{"plan", "print what a manifest leads to, create nothing", run_plan},
      Command{"controller", "keep the services of a Kubernetes cluster", run_controller},
      Command{"crds", "print the custom resource definitions", run_crds},
      Command{"gateway", "the HTTP front door with the picker inside", run_gateway},
      Command{"epp", "pick pods for an Envoy gateway, over ext_proc", run_epp},
      Command{"node", "for tests: run a local API server's pods as processes", run_node},
      Command{"sidecar", "stand before a decode engine, run the prefill leg first", run_sidecar},
  };
  return kCommands;
}

bool parse(CLI::App& app, int argc, char** argv, int& exit) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::CallForHelp&) {
    cli::print("{}", app.help());
    exit = 0;
  } catch (const CLI::ParseError& e) {
    cli::print(stderr, "baton {}: {}\nRun with --help for the flags.\n", app.get_name(),
               app.remaining().empty() ? e.what() : unexpected(app));
    exit = exit_code(Code::kInvalid);
  }
  return false;
}

int fail(std::string_view command, const Error& error) {
  cli::print(stderr, "baton {}: {}\n", command, error.message());
  return exit_code(error.code());
}

}  // namespace baton::cli
