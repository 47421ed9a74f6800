#include "control/node/rewrites.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace baton::node {

namespace {

constexpr std::string_view kModelMount = "/mnt/models";
constexpr std::string_view kExtraArgs = "VLLM_ADDITIONAL_ARGS";

std::vector<std::string> words(const kube::Object& container, std::string_view member,
                               const Environment& env) {
  std::vector<std::string> out;
  const auto* list = container.find(member);
  if (list == nullptr || list->if_array() == nullptr) return out;
  for (const auto& word : *list->if_array()) {
    if (const auto* text = word.if_string()) out.push_back(expand(*text, env));
  }
  return out;
}

void append_word(std::string& text, std::string_view word) {
  if (!text.empty()) text += ' ';
  text += word;
}

// "--name", "--name=value", "-name=value".
bool is_flag(std::string_view word, std::string_view name) {
  if (!word.starts_with('-')) return false;
  word.remove_prefix(word.starts_with("--") ? 2 : 1);
  return word == name || (word.starts_with(name) && word.substr(name.size()).starts_with('='));
}

enum class Takes : bool { kNothing, kValue };

// Removes the flag, and its value when that is the next word.
bool remove_flag(std::vector<std::string>& argv, std::string_view name, Takes takes) {
  bool removed = false;
  for (auto at = argv.begin(); at != argv.end();) {
    if (!is_flag(*at, name)) {
      ++at;
      continue;
    }
    const bool split = takes == Takes::kValue && at->find('=') == std::string::npos;
    const auto end = at + 1 + (split && at + 1 != argv.end() ? 1 : 0);
    at = argv.erase(at, end);
    removed = true;
  }
  return removed;
}

// Which of these the shell would do something about. Of any `$`, since arithmetic ($[NAME]) and
// ${NAME:NAME} read the values of variables as expressions, and those run commands.
constexpr std::string_view kEvaluated = "`;|&<>\n$";
// Beside them, what ends a word of a script that a folder's name is put into.
constexpr std::string_view kUnquoted = "`;|&<>\n$ \t\r\"'\\(){}*?[]#~!";

Status refuse_shell_syntax(std::string_view text, std::string_view where,
                           std::string_view syntax = kEvaluated) {
  const auto bad = text.find_first_of(syntax);
  if (bad == std::string_view::npos) return {};
  return denied(fmt::format(
      "{} holds shell syntax ('{}') that the preset script would execute: run `baton serve` with "
      "--allow-exec to permit it",
      where, text.substr(bad, 1)));
}

// Variables with which the loader, the shell, Python or a library run a file of someone's choice.
Status refuse_loader_variables(const Environment& env) {
  constexpr std::array<std::string_view, 3> kPrefixes = {"LD_", "BASH_FUNC_", "OPENSSL_"};
  constexpr auto kNames = std::to_array<std::string_view>(
      {"BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "IFS", "PYTHONPATH", "PYTHONSTARTUP",
       "PYTHONHOME", "PYTHONUSERBASE", "PYTHONWARNINGS", "PYTHONPYCACHEPREFIX", "PYTHONPLATLIBDIR",
       "GCONV_PATH", "CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH"});
  constexpr auto kNamesOfVllm = std::to_array<std::string_view>(
      {"CC", "CXX", "TRITON_PTXAS_PATH", "VLLM_NCCL_SO_PATH", "VLLM_CUDART_SO_PATH",
       "NCCL_NET_PLUGIN", "NCCL_TUNER_PLUGIN", "NCCL_PROFILER_PLUGIN", "NIXL_PLUGIN_DIR"});
  for (const auto& [name, value] : env.entries()) {
    const auto read = std::string_view(name).substr(0, name.find('='));  // as the program will
    if (std::ranges::any_of(kPrefixes, [&](auto prefix) { return read.starts_with(prefix); }) ||
        std::ranges::find(kNames, read) != kNames.end() ||
        std::ranges::find(kNamesOfVllm, read) != kNamesOfVllm.end()) {
      return denied(fmt::format(
          "environment variable {} could run another program: run `baton serve` with --allow-exec "
          "to permit it",
          name));
    }
  }
  return {};
}

class Rewriter {
 public:
  Rewriter(const PodFacts& facts, const std::vector<Mount>& mounts, const Config& config)
      : facts_(facts), mounts_(mounts), config_(config) {}

  Result<Launch> run(const kube::Object& container, Environment env) {
    launch_.env = std::move(env);
    const auto command = words(container, "command", launch_.env);
    launch_.args = words(container, "args", launch_.env);
    const auto name = command.empty() ? std::string_view() : basename(command[0]);
    launch_.program = program_for(name, container.string_at({"image"}));
    if (launch_.program == Program::kStorageInitializer) return std::move(launch_);
    launch_.argv = command;
    if (command.empty()) launch_.argv = default_command(launch_.program);
    launch_.argv.insert(launch_.argv.end(), launch_.args.begin(), launch_.args.end());
    BATON_TRY(permit(container, command.size()));
    map_paths();
    BATON_TRY(permit_shell());
    switch (launch_.program) {
      case Program::kEngine:
        engine();
        break;
      case Program::kShell:
        script();
        break;
      case Program::kSidecar:
        sidecar();
        break;
      case Program::kPicker:
        picker();
        break;
      default:
        break;
    }
    if (const auto link = link_name(launch_.program); !link.empty()) {
      launch_.argv[0] = fmt::format("{}/{}", facts_.bin, link);
    }
    environment();
    return std::move(launch_);
  }

 private:
  Status permit(const kube::Object& container, std::size_t command_words) {
    if (config_.allow_exec == AllowExec::kYes) return {};
    BATON_TRY(refuse_loader_variables(launch_.env));
    if (launch_.program == Program::kOther) {
      return denied(fmt::format(
          "runs '{}', which is none of Baton's programs (vllm, pd-sidecar, epp): run "
          "`baton serve` with --allow-exec to permit it",
          launch_.argv.empty() || launch_.argv[0].empty() ? container.string_at({"image"})
                                                          : std::string_view(launch_.argv[0])));
    }
    if (launch_.program != Program::kShell) return {};
    const bool shipped =
        command_words >= 3 && launch_.argv[1] == "-c" && config_.is_shipped_script(launch_.argv[2]);
    if (!shipped) {
      return denied(
          "runs a shell script that is not one of the shipped presets: run `baton serve` with "
          "--allow-exec to permit it");
    }
    return {};
  }

  // After map_paths(): a pod chooses the names of folders, too.
  Status permit_shell() const {
    if (config_.allow_exec == AllowExec::kYes || launch_.program != Program::kShell) return {};
    constexpr std::array<std::string_view, 6> kShells = {
        "bash", "sh", "/bin/bash", "/bin/sh", "/usr/bin/bash", "/usr/bin/sh"};
    const auto& argv = launch_.argv;
    if (std::ranges::find(kShells, argv[0]) == kShells.end()) {
      return denied(fmt::format(
          "runs '{}', which is not this machine's bash or sh: run `baton serve` with --allow-exec "
          "to permit it",
          argv[0]));
    }
    for (std::size_t i = 3; i < argv.size(); ++i) {
      BATON_TRY(refuse_shell_syntax(argv[i], "argument " + argv[i]));
    }
    BATON_TRY(refuse_shell_syntax(launch_.env.get(kExtraArgs), kExtraArgs));
    if (facts_.mounts != Mounts::kRewrite) return {};
    for (const auto& mount : mounts_) {
      BATON_TRY(refuse_shell_syntax(mount.folder, "folder " + mount.folder, kUnquoted));
    }
    return {};
  }

  // `text` as the container's program must read it.
  std::string here(std::string_view text) const {
    return facts_.mounts == Mounts::kRewrite ? rewrite_paths(text, mounts_) : std::string(text);
  }

  std::string mount_note(const Mount& mount) const {
    if (facts_.mounts == Mounts::kRewrite) {
      return fmt::format("mount path {} is rewritten to {}", mount.path, mount.folder);
    }
    return fmt::format(
        "mount path {} is {}{}{}", mount.path,
        mount.in_memory ? "memory of the container's own" : "mounted from " + mount.folder,
        mount.read_only ? ", read-only" : "",
        facts_.mounts == Mounts::kAuto ? " (or else the path is rewritten)" : "");
  }

  void map_paths() {
    for (auto& word : launch_.argv) word = here(word);
    for (auto& [name, value] : launch_.env.entries()) value = here(value);
    for (const auto& mount : mounts_) launch_.notes.push_back(mount_note(mount));
  }

  std::vector<std::string> engine_extras() {
    if (config_.engine == Engine::kVllm) {
      launch_.env.set("VLLM_NIXL_SIDE_CHANNEL_HOST", facts_.address);
      launch_.notes.push_back(
          "vllm gets --host and VLLM_NIXL_SIDE_CHANNEL_HOST: the pod's address");
      return {"--host", facts_.address};
    }
    if (!config_.emulates_accelerators()) return {};
    launch_.notes.push_back("parallel sizes are emulated (--emulate-parallelism)");
    return {"--emulate-parallelism"};
  }

  // Flags that describe the model a stand-in replaces say nothing about the stand-in.
  void drop_model_flags() {
    for (const auto* flag : {"dtype", "quantization", "kv-cache-dtype", "max-model-len",
                             "load-format", "tokenizer", "tokenizer-mode", "revision"}) {
      if (!remove_flag(launch_.argv, flag, Takes::kValue)) continue;
      launch_.notes.push_back(
          fmt::format("--{} is left out: it is about the model that the stand-in replaces", flag));
    }
  }

  void engine() {
    if (launch_.argv.size() < 2 || launch_.argv[1] != "serve") return;
    if (config_.emulates_accelerators()) {
      drop_model_flags();
      stand_in_model();
    }
    for (auto& extra : engine_extras()) launch_.argv.push_back(std::move(extra));
  }

  // `vllm serve [MODEL] …`: a model that is not the mounted one is replaced, a missing one added.
  void stand_in_model() {
    auto& argv = launch_.argv;
    const bool named = argv.size() > 2 && !argv[2].starts_with('-');
    const auto mounted = here(kModelMount);
    if (named && argv[2].starts_with(mounted)) return;
    launch_.notes.push_back(fmt::format("model {} is replaced by the stand-in {}",
                                        named ? argv[2] : "(none given)", config_.stand_in));
    if (named) {
      argv[2] = config_.stand_in;
    } else {
      argv.insert(argv.begin() + 2, config_.stand_in);
    }
    remove_flag(argv, "model", Takes::kValue);
  }

  void script() {
    if (config_.emulates_accelerators()) drop_model_flags();
    std::string extra = launch_.env.get(kExtraArgs);
    for (const auto& word : engine_extras()) append_word(extra, word);
    if (!extra.empty()) launch_.env.set(kExtraArgs, extra);
  }

  void sidecar() {
    auto& argv = launch_.argv;
    std::erase(argv, "");  // what presets leave where a TLS flag would stand
    for (const auto* flag :
         {"inference-pool", "inference-pool-name", "inference-pool-namespace", "pool-group"}) {
      remove_flag(argv, flag, Takes::kValue);
    }
    remove_flag(argv, "enable-ssrf-protection", Takes::kNothing);
    for (const auto* name : {"INFERENCE_POOL", "INFERENCE_POOL_NAME", "INFERENCE_POOL_NAMESPACE"}) {
      launch_.env.erase(name);
    }
    const auto traces = [](const std::string& word) { return is_flag(word, "tracing"); };
    if (!config_.tracing.empty() && std::ranges::none_of(argv, traces)) {
      argv.emplace_back("--tracing");
    }
    if (config_.pod_tls == PodTls::kOff) {
      remove_flag(argv, "secure-proxy", Takes::kNothing);
      argv.push_back("--secure-proxy=false");
    }
    argv.push_back("--allowlist-file=" + facts_.allowlist_file);
    launch_.notes.push_back(fmt::format(
        "the sidecar's pool flags are replaced by --allowlist-file={}", facts_.allowlist_file));
  }

  // It asks the API server about readers of its metrics, where there is one.
  void picker() {
    if (!config_.api_host.empty()) return;
    static constexpr std::string_view kFlag = "metrics-endpoint-auth";
    const auto says = [](const std::string& word) { return is_flag(word, kFlag); };
    if (std::ranges::any_of(launch_.argv, says)) return;
    launch_.argv.push_back(fmt::format("--{}=false", kFlag));
    launch_.notes.push_back(fmt::format("the picker gets --{}=false: it asks nobody", kFlag));
  }

  void environment() {
    auto& env = launch_.env;
    env.set("PATH", facts_.bin + ":" + config_.path);
    env.set("BATON_POD_IP", facts_.address);
    env.set("BATON_MODELS_DIR", fmt::format("{}", fmt::join(config_.models_dirs, ":")));
    if (env.find("HOME") == nullptr) env.set("HOME", facts_.directory);
    if (!config_.api_host.empty()) {
      env.set("KUBERNETES_SERVICE_HOST", config_.api_host);
      env.set("KUBERNETES_SERVICE_PORT", std::to_string(config_.api_port));
    }
    for (const auto& [name, value] : config_.tracing) {
      if (env.find(name) == nullptr) env.set(name, value);
    }
    if (!facts_.gpus.empty()) env.set("CUDA_VISIBLE_DEVICES", facts_.gpus);
  }

  const PodFacts& facts_;
  const std::vector<Mount>& mounts_;
  const Config& config_;
  Launch launch_;
};

}  // namespace

Result<Launch> launch_for(const kube::Object& container, const PodFacts& facts, Environment env,
                          const std::vector<Mount>& mounts, const Config& config) {
  return Rewriter(facts, mounts, config).run(container, std::move(env));
}

}  // namespace baton::node
