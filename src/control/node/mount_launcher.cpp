#include "control/node/mount_launcher.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <sstream>

#include "base/async/process.hpp"
#include "control/node/mount_namespace.hpp"
#include "control/node/programs.hpp"

namespace baton::node {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kReadOnly = "ro", kWritable = "rw", kMemory = "memory", kKeep = "keep",
                           kGuard = "guard", kProgram = "--";

// Where the programs of pods come from, by every name they have, apart from the system's folders.
std::vector<std::string> program_paths(const Config& config) {
  std::vector<std::string> out{config.state_dir, config.baton};
  std::istringstream path(config.path);
  for (std::string folder; std::getline(path, folder, ':');) {
    if (folder.starts_with('/')) out.push_back(folder);
  }
  if (config.engine != Engine::kVllm) return out;
  // A foreign vllm lives in a tree <prefix>/bin/vllm; its Python may be a link to another tree.
  const auto vllm = async::find_program("vllm", config.path);
  if (!vllm) return out;
  const auto python = fs::path(*vllm).replace_filename("python3");
  std::error_code ignored;
  for (const auto& program : {fs::path(*vllm), fs::weakly_canonical(*vllm, ignored),
                              fs::weakly_canonical(python, ignored)}) {
    const auto prefix = program.parent_path().parent_path();
    if (prefix.has_relative_path()) out.push_back(prefix.string());
  }
  return out;
}

// Folders of the machine that programs in pods use by their own names.
std::vector<std::string> kept_paths(const Config& config) {
  auto out = program_paths(config);
  for (const auto* dirs : {&config.models_dirs, &config.model_dirs}) {
    out.insert(out.end(), dirs->begin(), dirs->end());
  }
  for (const auto& path : {config.stand_in, config.hub.cache}) {
    if (!path.empty()) out.push_back(path);
  }
  return out;
}

// A mount over these could run a program that only --allow-exec permits.
std::vector<std::string> guarded_paths(const Config& config) {
  if (config.allow_exec == AllowExec::kYes) return {};
  auto out = program_paths(config);
  for (const auto* path : {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
                           "/etc/ld.so.preload", "/etc/ld.so.cache"}) {
    out.emplace_back(path);
  }
  return out;
}

std::string scratch_of(const Config& config) { return config.state_dir + "/root"; }

struct Order {
  Namespace place;
  std::vector<std::string> program;
};

// What mount_launcher() wrote.
Result<Order> parse_order(std::span<char*> words) {
  Order out;
  std::size_t at = 0;
  const auto next = [&] { return at < words.size() ? std::string(words[at++]) : std::string(); };
  out.place.scratch = next();
  while (at < words.size()) {
    const auto kind = next();
    if (kind == kProgram) {
      while (at < words.size()) out.program.push_back(next());
    } else if (kind == kKeep) {
      out.place.keep.push_back(next());
    } else if (kind == kGuard) {
      out.place.guard.push_back(next());
    } else if (kind == kReadOnly || kind == kWritable || kind == kMemory) {
      Mount mount{next(), next(), kind == kReadOnly, kind == kMemory};
      out.place.mounts.push_back(std::move(mount));
    } else {
      return invalid(fmt::format("{}: unknown word '{}'", kMountLauncher, kind));
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> mount_launcher(const Config& config, const std::vector<Mount>& mounts) {
  std::vector<std::string> out{fmt::format("{}/bin/{}", config.state_dir, kMountLauncher),
                               scratch_of(config)};
  for (const auto& mount : mounts) {
    const auto kind = mount.in_memory ? kMemory : mount.read_only ? kReadOnly : kWritable;
    out.insert(out.end(), {std::string(kind), mount.path, mount.folder});
  }
  for (auto& path : kept_paths(config))
    out.insert(out.end(), {std::string(kKeep), std::move(path)});
  for (auto& path : guarded_paths(config)) {
    out.insert(out.end(), {std::string(kGuard), std::move(path)});
  }
  out.emplace_back(kProgram);
  return out;
}

std::optional<int> run_as_mount_launcher(int argc, char** argv) {
  if (argc < 1 || basename(argv[0]) != kMountLauncher) return std::nullopt;
  const pid_t starter = ::getppid();
  auto order = parse_order(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (!order) async::fail_launch(order.error());
  std::error_code error;
  const auto directory = fs::current_path(error);
  if (const auto entered = enter_namespace(std::move(order->place)); !entered) {
    async::fail_launch(entered.error().with("mount namespace"));
  }
  fs::current_path(directory, error);
  if (error) {
    async::fail_launch(
        unsupported(fmt::format("mount namespace: {}: {}", directory.string(), error.message())));
  }
  if (order->program.empty()) return 0;
  async::launch(order->program, starter);
}

Status probe_mount_launcher(const Config& config, const Clock& clock) {
  constexpr Nanos kPatience = std::chrono::seconds(5);
  const auto folder = config.state_dir + "/probe";
  std::error_code error;
  fs::create_directories(folder, error);
  fs::create_directories(scratch_of(config), error);
  if (error) return unavailable(fmt::format("making {}: {}", scratch_of(config), error.message()));
  const std::vector<Mount> mounts{{"/baton-probe/volume", folder},
                                  {"/baton-probe/volume/read-only", folder, true},
                                  {"/etc/baton-probe", folder, true},
                                  {"/baton-probe/memory", "", false, true}};
  auto started = async::Process::start(
      {{}, {"PATH=" + config.path}, config.state_dir, -1, mount_launcher(config, mounts)});
  if (!started) return std::move(started).error();
  const auto ended = (*started)->wait(Deadline::in(clock, kPatience), clock);
  started->reset();
  fs::remove_all(folder, error);
  if (ended != async::Exit{0}) return unsupported("mount namespace: the probe did not end well");
  return {};
}

}  // namespace baton::node
