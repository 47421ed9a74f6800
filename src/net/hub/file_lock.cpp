#include "net/hub/file_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace baton::hub {

namespace {

constexpr std::size_t kMaxNote = 200;
constexpr int kMaxReplaced = 100;  // how often a file may be replaced while we lock it

Error trouble(const std::string& file) {
  const int number = errno;
  const auto text = fmt::format("lock {}: {}", file, std::strerror(number));
  return number == EACCES || number == EROFS || number == EPERM ? denied(text) : unavailable(text);
}

// Whether the name still means the file that is open: others may remove lock files.
bool is_current(int descriptor, const std::string& file) {
  struct stat open{};
  struct stat named{};
  return ::fstat(descriptor, &open) == 0 && ::stat(file.c_str(), &named) == 0 &&
         open.st_ino == named.st_ino && open.st_dev == named.st_dev;
}

}  // namespace

Result<std::optional<FileLock>> FileLock::try_lock(const std::string& file, Kind kind) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), error);
  if (error) return denied(fmt::format("lock {}: {}", file, error.message()));
  for (int i = 0; i < kMaxReplaced; ++i) {
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0) return trouble(file);
    FileLock lock(descriptor);
    const int wanted = (kind == Kind::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
    if (::flock(descriptor, wanted) != 0) {
      if (errno == EWOULDBLOCK) return std::optional<FileLock>();
      return trouble(file);
    }
    if (is_current(descriptor, file)) return std::optional<FileLock>(std::move(lock));
  }
  return unavailable(fmt::format("lock {}: somebody keeps replacing it", file));
}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileLock::note(std::string_view text) {
  text = text.substr(0, kMaxNote);
  [[maybe_unused]] const auto written = ::pwrite(descriptor_, text.data(), text.size(), 0);
  [[maybe_unused]] const auto cut = ::ftruncate(descriptor_, static_cast<off_t>(text.size()));
}

void FileLock::touch() { ::futimens(descriptor_, nullptr); }

std::string read_note(const std::string& lock_file) {
  const int descriptor = ::open(lock_file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return "";
  std::array<char, kMaxNote> text{};
  const auto got = ::pread(descriptor, text.data(), text.size(), 0);
  ::close(descriptor);
  return got > 0 ? std::string(text.data(), static_cast<std::size_t>(got)) : "";
}

}  // namespace baton::hub
