#include "cli/node_options.hpp"
#include "cli/environment.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "control/node/accelerators.hpp"
#include "control/node/models.hpp"
#include "control/plan/presets.hpp"

namespace baton::cli {
namespace {

namespace fs = std::filesystem;

// Of ours, what a program that downloads models may need.
constexpr std::array kPullVariables = {"PATH",          "HOME",        "XDG_CACHE_HOME",
                                       "HF_HOME",       "HF_TOKEN",    "HUGGING_FACE_HUB_TOKEN",
                                       "HF_TOKEN_PATH", "HF_ENDPOINT", "SSL_CERT_FILE",
                                       "SSL_CERT_DIR",  "TERM"};

// Where baton://NAME is looked for: $BATON_MODELS_DIR, else beside the binary or above it.
std::vector<std::string> models_dirs(const fs::path& binary) {
  std::vector<std::string> out;
  std::istringstream given(environment_text("BATON_MODELS_DIR"));
  for (std::string dir; std::getline(given, dir, ':');) {
    if (!dir.empty()) out.push_back(fs::absolute(dir).string());
  }
  if (!out.empty()) return out;
  const fs::path folder = binary.parent_path();
  for (const auto* relative : {"../models", "../share/baton/models", "../../models",
                               "../../../models", "../../../../models"}) {
    const auto candidate = (folder / relative).lexically_normal();
    if (fs::is_directory(candidate)) out.push_back(candidate.string());
  }
  if (out.empty()) out.push_back((folder / "../share/baton/models").lexically_normal().string());
  return out;
}

}  // namespace

void add_node_flags(CLI::App& app, NodeOptions& options) {
  app.add_option("--stand-in", options.stand_in,
                 "replace every model by this built-in one and emulate accelerators");
  app.add_option("--engine", options.engine, "what `vllm` means: baton, or vllm from PATH")
      ->check(CLI::IsMember({"baton", "vllm"}))
      ->capture_default_str();
  app.add_flag("--allow-exec", options.allow_exec,
               "run any program and script that a manifest names");
  app.add_option("--mounts", options.mounts,
                 "how containers see their mount paths: namespace (private mounts), rewrite (paths "
                 "in command, args and environment are replaced), auto (namespace where permitted)")
      ->check(CLI::IsMember({"auto", "namespace", "rewrite"}))
      ->capture_default_str();
  app.add_option("--model-dir", options.model_dirs,
                 "folder with models for hf:// (DIR/ORG/NAME or DIR/NAME)");
}

Result<node::Config> node_config(const NodeOptions& options, const std::string& state_dir) {
  node::Config config;
  std::error_code error;
  const fs::path binary = fs::read_symlink("/proc/self/exe", error);
  if (error) return internal("reading /proc/self/exe: " + error.message());
  config.state_dir = state_dir;
  config.baton = binary.string();
  config.path = environment_text("PATH");
  if (config.path.empty()) config.path = "/usr/local/bin:/usr/bin:/bin";
  config.models_dirs = models_dirs(binary);
  for (const auto& dir : options.model_dirs)
    config.model_dirs.push_back(fs::absolute(dir).string());
  BATON_TRY_ASSIGN(config.hub, hub::read_settings(environment_text));
  for (const char* name : kPullVariables) {
    if (const auto value = environment_text(name); !value.empty()) {
      config.pull_environment.push_back(fmt::format("{}={}", name, value));
    }
  }
  config.engine = options.engine == "vllm" ? node::Engine::kVllm : node::Engine::kBaton;
  config.allow_exec = node::AllowExec(options.allow_exec);
  config.is_shipped_script = [](std::string_view text) { return text == plan::engine_script(); };
  config.mounts = options.mounts == "namespace" ? node::Mounts::kNamespace
                  : options.mounts == "rewrite" ? node::Mounts::kRewrite
                                                : node::Mounts::kAuto;
  config.gpus = node::count_gpus();
  if (!options.stand_in.empty()) {
    BATON_TRY_ASSIGN(config.stand_in,
                     node::find_model("baton://" + options.stand_in, config).with("--stand-in"));
  }
  return config;
}

}  // namespace baton::cli
