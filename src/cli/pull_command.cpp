// `baton pull`: a model from the hub into this machine's cache.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "cli/command.hpp"
#include "cli/environment.hpp"
#include "cli/print.hpp"
#include "cli/progress_view.hpp"
#include "control/node/models.hpp"
#include "net/hub/pull.hpp"

namespace baton::cli {
namespace {

struct PullFlags {
  std::string model, link;
  bool cached = false;
};

Result<std::string> pull(const PullFlags& options) {
  BATON_TRY_ASSIGN(const auto id, hub::parse_model_id(options.model));
  BATON_TRY_ASSIGN(const auto settings, hub::read_settings(environment_text));
  const SystemClock clock;
  auto view = ProgressView::of_standard_error(to_string(id), clock);
  hub::Patience patience({.sleep = [](Nanos time) { std::this_thread::sleep_for(time); },
                          .say = [&](std::string_view line) { view.say(line); }});
  const auto want = options.cached ? hub::Want::kAny : hub::Want::kNewest;
  return hub::pull(id, want, settings, std::move(patience), view, clock);
}

}  // namespace

int run_pull(int argc, char** argv) {
  PullFlags options;
  CLI::App app("Get a model from the Hugging Face hub into the cache that other programs share",
               "pull");
  app.add_option("model", options.model, "ORG/NAME, or ORG/NAME@REVISION; hf:// in front or not")
      ->required();
  app.add_flag("--cached", options.cached,
               "a whole copy in the cache will do: ask the hub only when there is none");
  app.add_option("--link", options.link,
                 "also make this folder, missing or empty, one of links to the model's files");
  app.footer(
      "What broke off goes on where it was. Every file is checked against its hash.\n"
      "Environment: HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE.\n"
      "Example: baton pull Qwen/Qwen2.5-0.5B-Instruct\n"
      "Exit codes: 3 the hub wants (another) HF_TOKEN, 4 no such model, 6 no room or too many "
      "requests, 7 the hub cannot be reached or sends something else, 9 offline.");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  std::signal(SIGPIPE, SIG_IGN);  // a closed connection is an error
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grew too large, too
  if (!options.link.empty()) {    // before a download of hours, too
    if (const auto free = node::can_link_model(options.link); !free) {
      return fail("pull", free.error());
    }
  }
  const auto folder = pull(options);
  if (!folder) return fail("pull", folder.error());
  if (!options.link.empty()) {
    if (const auto linked = node::link_model(options.link, *folder); !linked) {
      return fail("pull", linked.error());
    }
  }
  cli::print("{}\n", *folder);
  return 0;
}

}  // namespace baton::cli
