#include "base/async/file_watch.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace baton::async {

Result<std::unique_ptr<FileWatch>> FileWatch::open(const std::vector<std::string>& files) {
  const int inotify = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (inotify < 0) return unavailable(fmt::format("inotify: {}", std::strerror(errno)));
  std::unique_ptr<FileWatch> watch(new FileWatch(inotify, ::eventfd(0, EFD_CLOEXEC)));
  for (const auto& file : files) {
    const std::filesystem::path path(file);
    const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
    const int id =
        ::inotify_add_watch(inotify, folder.c_str(),
                            IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE);
    if (id < 0) {
      return not_found(fmt::format("watching {}: {}: {}", file, folder, std::strerror(errno)));
    }
    auto& names = watch->names_[id];
    names.insert(path.filename().string());
    names.insert("..data");  // swaps all of a mounted ConfigMap or Secret, whose files are links
  }
  return watch;
}

FileWatch::~FileWatch() {
  ::close(inotify_);
  ::close(wake_);
}

Result<FileWatch::Change> FileWatch::wait(Deadline deadline, const Clock& clock) {
  while (true) {
    const Mono now = clock.now();
    constexpr Nanos kLongest = std::chrono::seconds(60);
    const auto left = std::chrono::ceil<Millis>(std::min(deadline.left(now), kLongest));
    pollfd entries[] = {{inotify_, POLLIN, 0}, {wake_, POLLIN, 0}};
    ::poll(entries, 2, static_cast<int>(left.count()));
    if (entries[1].revents != 0) return cancelled("file watch closed");
    if (entries[0].revents != 0 && drain()) return Change::kChanged;
    if (deadline.passed(clock.now())) return Change::kNone;
  }
}

void FileWatch::close() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
}

// Reads what has happened; whether any of it was to a watched file.
bool FileWatch::drain() {
  alignas(inotify_event) char buffer[4096];
  bool changed = false;
  while (true) {
    const auto got = ::read(inotify_, buffer, sizeof buffer);
    if (got <= 0) return changed;
    for (const char* at = buffer; at < buffer + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      const auto found = names_.find(event->wd);
      if (event->len > 0 && found != names_.end() && found->second.contains(event->name)) {
        changed = true;
      }
    }
  }
}

}  // namespace baton::async
