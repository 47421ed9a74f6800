#include "net/hub/blob.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <vector>

namespace baton::hub {

namespace {

constexpr std::size_t kCheckBytes = 1 << 20;  // read at a time of what is there already
constexpr int kMaxRestarts = 2;               // from the first byte, after other bytes came
constexpr Nanos kLook = Millis(200);          // between two looks at another process

Error disk_error(const std::string& file, std::uint64_t written, std::uint64_t size) {
  const int number = errno;
  const auto text = fmt::format("writing {}: {} (after {} of {} bytes)", file,
                                std::strerror(number), written, size);
  if (number == ENOSPC || number == EDQUOT || number == EFBIG) {
    return exhausted(text + ": make room, or set HF_HUB_CACHE; it goes on from there");
  }
  return number == EACCES || number == EROFS || number == EPERM ? denied(text) : unavailable(text);
}

std::uint64_t size_of(const std::string& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? 0 : size;
}

// The unfinished file with what its bytes hash to so far.
class Partial {
 public:
  Partial(const RemoteFile& file, std::string path) : file_(file), path_(std::move(path)) {}
  ~Partial() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Partial(const Partial&) = delete;
  Partial& operator=(const Partial&) = delete;

  // Takes up what is there.
  Status open(const std::function<void(std::uint64_t)>& have) {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (descriptor_ < 0) return disk_error(path_, 0, file_.size);
    if (size_of(path_) > file_.size) return restart();
    reset_digest();
    std::vector<char> buffer(kCheckBytes);
    while (true) {
      const auto got = ::read(descriptor_, buffer.data(), buffer.size());
      if (got < 0) return disk_error(path_, size_, file_.size);
      if (got == 0) return {};
      take({buffer.data(), static_cast<std::size_t>(got)});
      have(size_);
    }
  }
  Status restart() {
    if (::ftruncate(descriptor_, 0) != 0 || ::lseek(descriptor_, 0, SEEK_SET) != 0) {
      return disk_error(path_, size_, file_.size);
    }
    reset_digest();
    return {};
  }
  Status append(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto wrote = ::write(descriptor_, bytes.data(), bytes.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return disk_error(path_, size_, file_.size);
      const auto count = static_cast<std::size_t>(wrote);
      take(bytes.substr(0, count));
      bytes.remove_prefix(count);
    }
    return {};
  }
  // Whether the whole file is what was listed; then it has its name.
  Result<bool> keep_as(const std::string& name) {
    found_ = digest_->finish();
    digest_.reset();
    if (found_ != file_.digest) return false;
    if (::fsync(descriptor_) != 0 || ::rename(path_.c_str(), name.c_str()) != 0) {
      return disk_error(path_, size_, file_.size);
    }
    return true;
  }
  std::uint64_t size() const { return size_; }
  const std::string& found() const { return found_; }

 private:
  void reset_digest() {
    digest_ = std::make_unique<Digest>(file_.kind, file_.size);
    size_ = 0;
  }
  void take(std::string_view bytes) {
    digest_->add(bytes);
    size_ += bytes.size();
  }

  const RemoteFile& file_;
  const std::string path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::unique_ptr<Digest> digest_;
  std::string found_;
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// One file on its way.
//
//   ask --200 or 206--> receive --all bytes--> verify --same--> done
//    ^   (the piece fits)  | broken off          | another hash
//    +-----wait------------+                     |
//    +-----from the first byte, twice at most----+  (also: another ETag, size or range)
class Fetch {
 public:
  Fetch(Transport& transport, Patience& patience, const Url& url, const RemoteFile& file)
      : transport_(transport), patience_(patience), url_(url), file_(file) {}

  Status run(const ModelFolder& folder, std::uint64_t before, Listener& listener) {
    const auto name = folder.blob(file_.digest);
    Partial partial(file_, name + ".incomplete");
    const auto have = [&](std::uint64_t bytes) { listener.have(before + bytes); };
    BATON_TRY(partial.open(have));
    furthest_ = partial.size();
    if (partial.size() > 0 && partial.size() < file_.size) {
      listener.say(
          fmt::format("{}: going on after {} of {} bytes", file_.path, partial.size(), file_.size));
    }
    while (true) {
      while (partial.size() < file_.size) {
        auto came = receive(partial, have);
        if (!came) return std::move(came).error();
      }
      BATON_TRY_ASSIGN(const bool same, partial.keep_as(name));
      if (same) return {};
      BATON_TRY(from_start(
          partial, fmt::format("it hashes to {}, listed is {}", partial.found(), file_.digest)));
    }
  }

 private:
  // One answer: as far as it goes.
  Status receive(Partial& partial, const std::function<void(std::uint64_t)>& have) {
    http::Headers range;
    if (partial.size() > 0) range.add("Range", fmt::format("bytes={}-", partial.size()));
    auto answer = transport_.get(url_, range);
    if (!answer) {
      if (answer.error().status == 416) {
        return from_start(partial, "the hub has no such range of it");
      }
      return patience_.wait_after(answer.error());
    }
    BATON_TRY_ASSIGN(const bool fits, check_head(partial, *answer));
    if (!fits) return {};
    while (true) {
      const auto until = Deadline::in(transport_.clock(), kIdleTimeout);
      const auto piece = answer->response->read_some(until);
      if (!piece) return patience_.wait_after(trouble_of(piece.error()));
      if (piece->empty()) break;
      if (piece->size() > file_.size - partial.size()) {
        return from_start(partial, fmt::format("more than the listed {} bytes came", file_.size));
      }
      BATON_TRY(partial.append(*piece));
      if (partial.size() > furthest_) {
        furthest_ = partial.size();
        patience_.progressed();
      }
      have(partial.size());
    }
    if (partial.size() == file_.size) return {};
    return patience_.wait_after(
        {unavailable(fmt::format("{}: the answer ended after {} of {} bytes", file_.path,
                                 partial.size(), file_.size)),
         Trouble::Again::kYes});
  }

  // Whether the answer's bytes belong behind those that are here; else they are thrown away.
  Result<bool> check_head(Partial& partial, const Answer& answer) {
    const auto& head = answer.response->head();
    const std::string before = std::exchange(etag_, answer.etag);
    if (partial.size() > 0 && !before.empty() && before != answer.etag) {
      BATON_TRY(from_start(partial, "it changed on the hub between two pieces"));
      return false;
    }
    if (head.status == 206) {
      const auto piece = parse_content_range(head.headers.get("Content-Range").value_or(""));
      if (piece && piece->first == partial.size() && piece->total == file_.size) return true;
      BATON_TRY(from_start(partial, "the hub sent another range of it"));
      return false;
    }
    if (partial.size() > 0) {  // ranges are not for everybody
      BATON_TRY(partial.restart());
    }
    const auto length = number(head.headers.get("Content-Length").value_or(""));
    if (length && *length != file_.size) {
      BATON_TRY(from_start(
          partial, fmt::format("the hub has {} bytes, listed are {}", *length, file_.size)));
      return false;
    }
    return true;
  }

  Status from_start(Partial& partial, const std::string& why) {
    const auto what = fmt::format("{}: {}", file_.path, why);
    if (restarts_++ == kMaxRestarts) return unavailable(what + ": given up");
    BATON_TRY(partial.restart());
    etag_.clear();
    furthest_ = 0;
    return patience_.wait_after({unavailable(what), Trouble::Again::kYes});
  }

  Transport& transport_;
  Patience& patience_;
  const Url& url_;
  const RemoteFile& file_;
  std::string etag_;
  std::uint64_t furthest_ = 0;  // bytes that have come before are no progress
  int restarts_ = 0;
};

// The lock of a blob, when whoever has it has let it go.
Result<FileLock> lock_blob(const RemoteFile& file, const ModelFolder& folder,
                           const Patience& patience, const Clock& clock,
                           const std::function<void(std::uint64_t)>& have, Listener& listener) {
  const auto partial = folder.blob(file.digest) + ".incomplete";
  std::uint64_t seen = 0;
  Mono until = clock.now() + kStuck;
  for (bool told = false;; told = true) {
    BATON_TRY_ASSIGN(auto lock,
                     FileLock::try_lock(folder.blob_lock(file.digest), FileLock::Kind::kExclusive));
    if (lock) return *std::move(lock);
    if (!told) listener.say(fmt::format("{}: another program downloads it; waiting", file.path));
    if (const auto size = size_of(partial); size != seen) {
      seen = size;
      until = clock.now() + kStuck;
      have(std::min(size, file.size));
    }
    if (clock.now() > until) {
      return timed_out(fmt::format("{}: another program holds {} and brings nothing", file.path,
                                   folder.blob_lock(file.digest)));
    }
    patience.sleep(kLook);
  }
}

}  // namespace

std::optional<Piece> parse_content_range(std::string_view field) {
  constexpr std::string_view kUnit = "bytes ";
  const auto dash = field.find('-');
  const auto slash = field.find('/');
  if (!field.starts_with(kUnit) || dash == std::string_view::npos || slash < dash ||
      slash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto first = number(field.substr(kUnit.size(), dash - kUnit.size()));
  const auto last = number(field.substr(dash + 1, slash - dash - 1));
  const auto total = number(field.substr(slash + 1));
  if (!first || !last || !total || *last < *first || *last >= *total) return std::nullopt;
  return Piece{*first, *total};
}

Status fetch_blob(Transport& transport, Patience& patience, const Url& url, const RemoteFile& file,
                  const ModelFolder& folder, std::uint64_t before, Listener& listener) {
  const auto name = folder.blob(file.digest);
  const auto have = [&](std::uint64_t bytes) { listener.have(before + bytes); };
  std::error_code error;
  std::filesystem::create_directories(folder.root + "/blobs", error);
  if (error) return denied(fmt::format("making {}/blobs: {}", folder.root, error.message()));
  const auto is_here = [&] {
    return std::filesystem::exists(name, error) && size_of(name) == file.size;
  };
  if (!is_here()) {
    BATON_TRY_ASSIGN(const FileLock lock,
                     lock_blob(file, folder, patience, transport.clock(), have, listener));
    if (!is_here()) {
      BATON_TRY(Fetch(transport, patience, url, file).run(folder, before, listener));
    }
  }
  have(file.size);
  return {};
}

}  // namespace baton::hub
