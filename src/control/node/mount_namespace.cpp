#include "control/node/mount_namespace.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>

namespace baton::node {

namespace {

constexpr std::string_view kHost = "/.host";  // the machine's root, while mounts are placed

Error refused(std::string_view what) {
  return unsupported(fmt::format("{}: {}", what, std::strerror(errno)));
}

// "" when there is no such path.
std::string resolved(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> text(::realpath(path.c_str(), nullptr),
                                                         std::free);
  return text ? text.get() : "";
}

bool is_inside(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/';
}

Status write_text(const char* file, std::string_view text) {
  const int out = ::open(file, O_WRONLY | O_CLOEXEC);
  const bool written =
      out >= 0 && ::write(out, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const auto error = refused(file);
  if (out >= 0) ::close(out);
  if (!written) return error;
  return {};
}

Status separate() {
  const auto uid = ::geteuid();
  const auto gid = ::getegid();
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return refused("unshare");
    BATON_TRY(write_text("/proc/self/setgroups", "deny"));
    BATON_TRY(write_text("/proc/self/uid_map", fmt::format("{0} {0} 1", uid)));
    BATON_TRY(write_text("/proc/self/gid_map", fmt::format("{0} {0} 1", gid)));
  }
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return refused("making mounts private");
  }
  return {};
}

Status bind(const std::string& from, const std::string& to) {
  if (::mount(from.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
    return refused(fmt::format("mounting {} at {}", from, to));
  }
  return {};
}

Status make_read_only(const std::string& path) {
  mount_attr wanted{};
  wanted.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(AT_FDCWD, path.c_str(), AT_RECURSIVE, &wanted, sizeof wanted) != 0) {
    return refused("making " + path + " read-only");
  }
  return {};
}

Status make_entry(const std::string& path, bool is_folder) {
  if (is_folder) {
    if (::mkdir(path.c_str(), 0755) != 0) return refused("making " + path);
    return {};
  }
  const int file = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  if (file < 0) return refused("making " + path);
  ::close(file);
  return {};
}

Status mirror_entry(const std::string& from, const std::string& to) {
  struct stat info{};
  if (::lstat(from.c_str(), &info) != 0) return {};  // gone since it was listed
  if (!S_ISLNK(info.st_mode)) {
    BATON_TRY(make_entry(to, S_ISDIR(info.st_mode)));
    return bind(from, to);
  }
  std::string target(PATH_MAX, '\0');
  const auto length = ::readlink(from.c_str(), target.data(), target.size());
  if (length < 0) return {};
  target.resize(static_cast<std::size_t>(length));
  if (::symlink(target.c_str(), to.c_str()) != 0) return refused("linking " + to);
  return {};
}

// Binds every entry of `from` into the empty folder `to`.
Status mirror(const std::string& from, const std::string& to) {
  const std::unique_ptr<DIR, decltype(&::closedir)> folder(::opendir((from + "/").c_str()),
                                                           ::closedir);
  if (!folder) return refused("reading " + from);
  while (const auto* entry = ::readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    BATON_TRY(mirror_entry(from + "/" + name, to + "/" + name));
  }
  return {};
}

class Root {
 public:
  explicit Root(const Namespace& wanted) : wanted_(wanted) {}

  // After this, / is the new root and kHost the machine's.
  Status build(const std::string& scratch) {
    BATON_TRY(cover(scratch, 0755));
    // Else binding the folder that holds it would copy it into itself.
    if (::mount(nullptr, scratch.c_str(), nullptr, MS_UNBINDABLE, nullptr) != 0) {
      return refused("marking " + scratch);
    }
    BATON_TRY(mirror("", scratch));
    const std::string host = scratch + std::string(kHost);
    BATON_TRY(make_entry(host, true));
    if (::syscall(SYS_pivot_root, scratch.c_str(), host.c_str()) != 0) return refused("pivot_root");
    if (::chdir("/") != 0) return refused("entering the new root");
    return {};
  }

  // `source`: the folder or file of the machine, resolved; "" for memory.
  Status place(const Mount& mount, const std::string& source) {
    if (mount.path == "/proc" || is_inside(mount.path, "/proc") || !mount.path.starts_with('/')) {
      return unsupported(fmt::format("mount path {} is not possible", mount.path));
    }
    const std::string from = std::string(kHost) + source;
    struct stat info{};
    if (::stat(from.c_str(), &info) != 0) return refused("mount " + mount.path);
    BATON_TRY_ASSIGN(const auto target, mount_point(mount.path, S_ISDIR(info.st_mode)));
    if (target == "/") return unsupported("mount path / is not possible");
    BATON_TRY(refuse_guarded(target));
    targets_.push_back({target, mount.read_only});
    if (mount.in_memory) return cover(target, 01777);
    BATON_TRY(bind(from, target));
    return mount.read_only ? make_read_only(target) : Status();
  }

  // Shows `path` again where a mount covers it. `source` is `path` resolved.
  Status keep(const std::string& path, const std::string& source) {
    const bool covered = std::ranges::any_of(
        targets_, [&](const Target& target) { return is_inside(path, target.path); });
    const std::string from = std::string(kHost) + source;
    struct stat here{};
    struct stat there{};
    if (!covered || ::stat(from.c_str(), &there) != 0) return {};
    if (::stat(path.c_str(), &here) == 0 && here.st_dev == there.st_dev &&
        here.st_ino == there.st_ino) {
      return {};
    }
    BATON_TRY_ASSIGN(const auto target, mount_point(path, S_ISDIR(there.st_mode)));
    return bind(from, target);
  }

  Status leave_host() {
    const std::string host(kHost);
    if (::umount2(host.c_str(), MNT_DETACH) != 0 || ::rmdir(host.c_str()) != 0) {
      return refused("leaving the machine's root");
    }
    return {};
  }

 private:
  struct Target {
    std::string path;
    bool read_only;
  };

  Status refuse_guarded(const std::string& target) const {
    for (const auto& path : wanted_.guard) {
      const bool covers =
          is_inside(path, target) && std::ranges::find(wanted_.keep, path) == wanted_.keep.end();
      if (target != path && !is_inside(target, path) && !covers) continue;
      return denied(fmt::format(
          "mount path {} would replace {}, where programs come from: run `baton serve` with "
          "--allow-exec to permit it",
          target, path));
    }
    return {};
  }

  // An empty folder in memory over `path`.
  Status cover(const std::string& path, mode_t mode) {
    const auto options = fmt::format("mode={:o}", mode);
    if (::mount("baton", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
      return refused("mounting memory at " + path);
    }
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0) ours_.insert(info.st_dev);
    return {};
  }

  // Makes what is missing of `path`; its resolved form.
  Result<std::string> mount_point(const std::string& path, bool is_folder) {
    std::string at;
    std::size_t start = 1;
    while (start <= path.size()) {
      const auto end = std::min(path.find('/', start), path.size());
      const std::string next = at + "/" + path.substr(start, end - start);
      if (resolved(next).empty()) {
        BATON_TRY(make_writable(at.empty() ? "/" : at));
        BATON_TRY(make_entry(next, is_folder || end < path.size()));
      }
      at = resolved(next);
      if (at == "/") at.clear();
      start = end + 1;
    }
    return at.empty() ? "/" : at;
  }

  // Lets entries be made in the folder without making them on the machine.
  Status make_writable(const std::string& folder) {
    struct stat info{};
    if (::stat(folder.c_str(), &info) != 0) return refused(folder);
    if (ours_.contains(info.st_dev)) return {};
    const Target* volume = nullptr;
    for (const auto& target : targets_) {
      const bool holds = target.path == folder || is_inside(folder, target.path);
      if (holds && (volume == nullptr || volume->path.size() < target.path.size())) {
        volume = &target;
      }
    }
    if (volume != nullptr && !volume->read_only) return {};
    const int below = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (below < 0) return refused(folder);
    auto done = cover(folder, info.st_mode & 07777);
    if (done) done = mirror(fmt::format("/proc/self/fd/{}", below), folder);
    ::close(below);
    return done;
  }

  const Namespace& wanted_;
  std::set<dev_t> ours_;  // the file systems in memory
  std::vector<Target> targets_;
};

// Adds the paths without links, so that each is known by both names.
void add_resolved(std::vector<std::string>& paths) {
  for (std::size_t i = 0, given = paths.size(); i < given; ++i) {
    auto path = resolved(paths[i]);
    if (!path.empty() && path != paths[i]) paths.push_back(std::move(path));
  }
}

}  // namespace

Status enter_namespace(Namespace wanted) {
  add_resolved(wanted.keep);
  add_resolved(wanted.guard);
  std::vector<std::pair<Mount, std::string>> mounts;
  for (auto mount : wanted.mounts) {
    const auto source = mount.in_memory ? "/" : resolved(mount.folder);
    if (source.empty())
      return not_found(fmt::format("mount {}: {} is missing", mount.path, mount.folder));
    struct stat info{};
    // A volume that is a link: the storage initializer's, to a model of this machine.
    if (::lstat(mount.folder.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) mount.read_only = true;
    mounts.emplace_back(std::move(mount), source);
  }
  std::ranges::sort(mounts, {}, [](const auto& m) { return m.first.path.size(); });
  std::vector<std::pair<std::string, std::string>> keep;
  for (const auto& path : wanted.keep) {
    if (const auto source = resolved(path); !source.empty()) keep.emplace_back(path, source);
  }
  BATON_TRY(separate());
  Root root(wanted);
  BATON_TRY(root.build(wanted.scratch));
  for (const auto& [mount, source] : mounts) {
    BATON_TRY(root.place(mount, source));
  }
  for (const auto& [path, source] : keep) {
    BATON_TRY(root.keep(path, source));
  }
  return root.leave_host();
}

}  // namespace baton::node
