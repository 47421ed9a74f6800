#include "cli/state_dir.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace baton::cli {

namespace fs = std::filesystem;

Result<std::string> default_state_dir(std::uint16_t port) {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state != '\0') return fmt::format("{}/baton/{}", state, port);
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    return invalid("neither XDG_STATE_HOME nor HOME is set: give --state-dir DIR");
  }
  return fmt::format("{}/.local/state/baton/{}", home, port);
}

namespace {

// Claims are the user's to fill before the first start (control/node/README.md).
bool is_empty_but_for_claims(const std::string& folder) {
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  return !error && std::ranges::all_of(entries, [](const fs::directory_entry& entry) {
    return entry.path().filename() == "pvc";
  });
}

bool is_open_to(fs::perms whom, const std::string& folder) {
  std::error_code error;
  return (fs::status(folder, error).permissions() & whom) != fs::perms::none;
}

// Keys of pods lie there, and what earlier pods left is deleted: it must be ours to close and
// clear. What belongs to root and our group, as volumes do, is closed enough when others are out.
Status make_private(const std::string& folder) {
  std::error_code error;
  if (fs::exists(folder + "/lock", error) || is_empty_but_for_claims(folder)) {
    fs::permissions(folder, fs::perms::owner_all, error);
    if (!error || !is_open_to(fs::perms::others_all, folder)) return {};
    return denied(fmt::format("state folder {}: {}", folder, error.message()));
  }
  const bool open = is_open_to(fs::perms::group_all | fs::perms::others_all, folder);
  const bool in_the_way =
      fs::exists(folder + "/pods", error) || fs::exists(folder + "/logs", error);
  if (!open && !in_the_way) return {};
  return conflict(
      fmt::format("state folder {} holds files of others{}: give --state-dir a folder "
                  "that is new or empty",
                  folder, in_the_way ? ", of which pods or logs would be deleted" : ""));
}

}  // namespace

Result<std::unique_ptr<StateDir>> StateDir::open(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error).lexically_normal();
  std::string text = absolute.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@=:,";
  if (const auto bad = text.find_first_not_of(kSafe); bad != std::string::npos) {
    return invalid(
        fmt::format("state folder '{}': '{}' is not allowed in its path (scripts in pods name it)",
                    text, text.substr(bad, 1)));
  }
  fs::create_directories(text, error);
  if (error) return denied(fmt::format("state folder {}: {}", text, error.message()));
  BATON_TRY(make_private(text));

  const std::string file = text + "/lock";
  const int lock = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (lock < 0) return denied(fmt::format("{}: {}", file, std::strerror(errno)));
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    const auto got = ::pread(lock, pid, sizeof pid - 1, 0);
    ::close(lock);
    return conflict(fmt::format(
        "state folder {} is in use by another `baton serve` (pid {}): give another --state-dir or "
        "--port",
        text, got > 0 ? pid : "unknown"));
  }
  const auto pid = std::to_string(::getpid());
  [[maybe_unused]] const int cut = ::ftruncate(lock, 0);
  [[maybe_unused]] const auto written = ::pwrite(lock, pid.data(), pid.size(), 0);
  return std::unique_ptr<StateDir>(new StateDir(std::move(text), lock));
}

StateDir::~StateDir() { ::close(lock_); }

}  // namespace baton::cli
