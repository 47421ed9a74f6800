// `baton logs`: what a container of a pod of `serve` wrote.

#include <fmt/format.h>
#include <poll.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/print.hpp"
#include "cli/state_dir.hpp"

namespace baton::cli {
namespace {

namespace fs = std::filesystem;

struct LogsFlags {
  std::string pod, container, state_dir;
  std::uint16_t port = 8080;
  bool follow = false;
};

struct Log {
  std::string ns, pod, container;
  fs::path file;
};

std::vector<Log> all_logs(const fs::path& folder) {
  std::vector<Log> out;
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(folder, ignored)) {
    const auto& file = entry.path();
    if (file.extension() != ".log") continue;
    out.push_back({file.parent_path().parent_path().filename(), file.parent_path().filename(),
                   file.stem(), file});
  }
  std::ranges::sort(out, {}, [](const Log& log) { return log.file; });
  return out;
}

std::string listing(const std::vector<Log>& logs) {
  std::string out;
  for (const auto& log : logs)
    out += fmt::format("\n  {}/{} -c {}", log.ns, log.pod, log.container);
  return out.empty() ? " (there are none)" : out;
}

// POD is a name, "ns/name", or the beginning of a name that only one pod has.
Result<Log> choose(const std::vector<Log>& logs, const LogsFlags& options) {
  std::vector<Log> found, begun;
  for (const auto& log : logs) {
    const bool named = log.pod == options.pod || log.ns + "/" + log.pod == options.pod;
    if (named) found.push_back(log);
    if (log.pod.starts_with(options.pod)) begun.push_back(log);
  }
  if (found.empty()) found = std::move(begun);
  std::erase_if(found, [&](const Log& log) {
    return !options.container.empty() && log.container != options.container;
  });
  const auto main = std::ranges::find(found, "main", &Log::container);
  const bool one_pod = std::ranges::all_of(found, [&](const Log& log) {
    return log.ns == found.front().ns && log.pod == found.front().pod;
  });
  if (found.empty()) {
    return not_found(fmt::format("no log of pod '{}'{}; there are:{}", options.pod,
                                 options.container.empty() ? "" : " container " + options.container,
                                 listing(logs)));
  }
  if (!one_pod) return invalid(fmt::format("'{}' could be:{}", options.pod, listing(found)));
  return main != found.end() ? *main : found.front();
}

// Prints what the file has beyond `from`; where it ends now. A file that was cut begins anew.
std::streamoff print_from(const fs::path& file, std::streamoff from) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  const std::streamoff size = in.tellg();
  if (size < from) from = 0;
  in.seekg(from);
  char buffer[64 << 10];
  while (in.read(buffer, sizeof buffer) || in.gcount() > 0) {
    cli::write(stdout, {buffer, static_cast<std::size_t>(in.gcount())});
    from += in.gcount();
  }
  cli::flush();
  return from;
}

// Until the reader of our output is gone.
void follow(const fs::path& file, std::streamoff from) {
  constexpr int kPauseMs = 200;
  while (std::ferror(stdout) == 0) {
    ::poll(nullptr, 0, kPauseMs);
    from = print_from(file, from);
  }
}

Status run(LogsFlags options) {
  if (options.state_dir.empty()) {
    BATON_TRY_ASSIGN(options.state_dir, default_state_dir(options.port));
  }
  const auto logs = all_logs(fs::path(options.state_dir) / "logs");
  if (logs.empty()) {
    return not_found(
        fmt::format("no logs in {}: `baton serve` with that --port or --state-dir makes "
                    "them",
                    options.state_dir));
  }
  if (options.pod.empty()) {
    for (const auto& log : logs) cli::print("{}/{} -c {}\n", log.ns, log.pod, log.container);
    return {};
  }
  BATON_TRY_ASSIGN(const auto log, choose(logs, options));
  const auto end = print_from(log.file, 0);
  if (options.follow) follow(log.file, end);
  return {};
}

}  // namespace

int run_logs(int argc, char** argv) {
  LogsFlags options;
  CLI::App app("What a container of a pod wrote; without POD, the list of logs", "logs");
  app.add_option("pod", options.pod, "pod name, namespace/name, or a name's beginning");
  app.add_option("-c,--container", options.container, "container (default: main)");
  app.add_flag("-f,--follow", options.follow, "go on with what is written");
  app.add_option("--port", options.port, "of the serve whose default state folder is read")
      ->capture_default_str();
  app.add_option("--state-dir", options.state_dir, "state folder of the serve");
  app.footer("Example: baton logs storyteller-kserve-prefill -c main -f");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  const auto done = run(std::move(options));
  return done ? 0 : fail("logs", done.error());
}

}  // namespace baton::cli
