// `baton models` and `baton rm`: what the cache of models holds.

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/text/json.hpp"
#include "cli/command.hpp"
#include "cli/environment.hpp"
#include "cli/print.hpp"
#include "cli/progress_view.hpp"
#include "net/hub/cache.hpp"
#include "net/hub/settings.hpp"
#include "net/kube/object.hpp"

namespace baton::cli {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

Result<std::string> cache_folder() {
  BATON_TRY_ASSIGN(auto settings, hub::read_settings(environment_text));
  if (settings.cache.empty()) return invalid("set HF_HUB_CACHE, HF_HOME or HOME");
  return std::move(settings.cache);
}

std::string state_of(const hub::CachedModel& model) {
  std::string out = "complete";
  if (model.commit.empty()) {
    out = "nothing yet";
  } else if (!model.missing.empty()) {
    out = fmt::format(
        "without {}{}", model.missing.front(),
        model.missing.size() > 1 ? fmt::format(" and {} more", model.missing.size() - 1) : "");
  }
  if (model.unfinished > 0) out += fmt::format(", {} unfinished", bytes_text(model.unfinished));
  if (model.is_used) out += ", in use";
  return out;
}

std::string age_text(Wall then, Wall now) {
  if (then == Wall{}) return "never";
  const auto hours = std::chrono::duration_cast<std::chrono::hours>(now - then).count();
  if (hours < 1) return "just now";
  if (hours < 48) return fmt::format("{} h ago", hours);
  return fmt::format("{} days ago", hours / 24);
}

void print_table(const std::vector<hub::CachedModel>& models, Wall now) {
  std::size_t width = 5;
  std::size_t revision = 8;
  for (const auto& model : models) {
    width = std::max(width, model.id.repository.size());
    revision = std::max(revision, std::min<std::size_t>(model.id.revision.size(), 12));
  }
  cli::print("{:<{}}  {:<{}}  {:>8}  {:<12}  {}\n", "MODEL", width, "REVISION", revision, "SIZE",
             "LAST USED", "STATE");
  for (const auto& model : models) {
    cli::print("{:<{}}  {:<{}}  {:>8}  {:<12}  {}\n", model.id.repository, width,
               model.id.revision.substr(0, 12), revision, bytes_text(model.bytes),
               age_text(model.last_used, now), state_of(model));
  }
}

Value to_json(const hub::CachedModel& model) {
  Array missing;
  for (const auto& file : model.missing) missing.emplace_back(file);
  return Object{{"name", model.id.repository},
                {"revision", model.id.revision},
                {"commit", model.commit},
                {"bytes", model.bytes},
                {"unfinished_bytes", model.unfinished},
                {"complete", model.missing.empty() && !model.commit.empty()},
                {"missing", std::move(missing)},
                {"in_use", model.is_used},
                {"last_used", kube::timestamp(model.last_used)}};
}

}  // namespace

int run_models(int argc, char** argv) {
  std::string output = "text";
  CLI::App app("The models in the Hugging Face cache of this machine", "models");
  app.add_option("-o,--output", output, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.footer(
      "Environment: HF_HUB_CACHE, HF_HOME. `baton pull` gets models, `baton rm` removes.\n"
      "Example: baton models -o json");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  const auto cache = cache_folder();
  if (!cache) return fail("models", cache.error());
  const auto models = hub::list_models(*cache);
  if (output == "json") {
    Array list;
    for (const auto& model : models) list.push_back(to_json(model));
    cli::print("{}", text::json::pretty(list));
  } else if (models.empty()) {
    cli::print("No models in {}: `baton pull ORG/NAME` gets one.\n", *cache);
  } else {
    print_table(models, SystemClock().wall());
  }
  return 0;
}

int run_rm(int argc, char** argv) {
  std::vector<std::string> names;
  CLI::App app("Remove models from the Hugging Face cache of this machine", "rm");
  app.add_option("model", names, "ORG/NAME, with all of its revisions")->required();
  app.footer("A model that a running serve uses stays: exit code 5.\nExample: baton rm ORG/NAME");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  const auto cache = cache_folder();
  if (!cache) return fail("rm", cache.error());
  for (const auto& name : names) {
    const auto id = hub::parse_model_id(name);
    if (!id) return fail("rm", id.error());
    if (id->revision != "main") {
      return fail("rm", unsupported(fmt::format("{}: a model goes with all of its revisions: give "
                                                "{}",
                                                name, id->repository)));
    }
    const auto freed = hub::remove_model(*cache, id->repository);
    if (!freed) return fail("rm", freed.error());
    cli::print("removed {}: {} free again\n", id->repository, bytes_text(*freed));
  }
  return 0;
}

}  // namespace baton::cli
