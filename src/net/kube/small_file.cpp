#include "net/kube/small_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace baton::kube {

Result<std::string> read_small_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe never blocks
  const auto failed = [&](int number) -> Error {
    auto message = fmt::format("{}: {}", path, std::strerror(number));
    if (number == ENOENT || number == ENOTDIR) return not_found(std::move(message));
    if (number == EACCES || number == EPERM) return denied(std::move(message));
    return invalid(std::move(message));
  };
  if (fd < 0) return failed(errno);
  std::string out;
  char piece[16384];
  ssize_t got = 0;
  while ((got = ::read(fd, piece, sizeof piece)) > 0 && out.size() <= kMaxSmallFile) {
    out.append(piece, static_cast<std::size_t>(got));
  }
  const int number = errno;
  ::close(fd);
  if (got < 0) return failed(number);
  if (out.size() > kMaxSmallFile) {
    return invalid(fmt::format("{}: over the limit of {} bytes", path, kMaxSmallFile));
  }
  return out;
}

Result<std::string> read_word_file(const std::string& path) {
  BATON_TRY_ASSIGN(std::string text, read_small_file(path));
  constexpr std::string_view kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return invalid(fmt::format("{}: empty", path));
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace baton::kube
