#include "net/hub/pull.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace baton::hub {

namespace {

namespace fs = std::filesystem;

constexpr Nanos kLookAtBlob = Millis(200);
constexpr Nanos kNoteEvery = Millis(500);
constexpr std::uint64_t kSpare = std::uint64_t{16} << 20;  // left free on the disk

// Tells those who wait for the lock what the user is told here.
class Shared final : public Listener {
 public:
  Shared(Listener& inner, FileLock& lock, const Clock& clock)
      : inner_(inner), lock_(lock), clock_(clock) {
    write();
  }
  void expect(std::uint64_t bytes) override {
    total_ = bytes;
    inner_.expect(bytes);
    write();
  }
  void have(std::uint64_t bytes) override {
    have_ = bytes;
    inner_.have(bytes);
    if (clock_.now() >= next_) write();
  }
  void say(std::string_view line) override { inner_.say(line); }

 private:
  void write() {
    lock_.note(fmt::format("{} {} {}", ::getpid(), have_, total_));
    next_ = clock_.now() + kNoteEvery;
  }

  Listener& inner_;
  FileLock& lock_;
  const Clock& clock_;
  Mono next_{};
  std::uint64_t have_ = 0, total_ = 0;
};

// Passes on what Shared wrote.
class Waiting {
 public:
  explicit Waiting(Listener& listener) : listener_(listener) {}

  void look(const std::string& note) {
    std::uint64_t numbers[3] = {};
    const char* at = note.data();
    for (auto& number : numbers) {
      const auto [end, error] = std::from_chars(at, note.data() + note.size(), number);
      if (error != std::errc()) return;
      at = end + (end != note.data() + note.size() ? 1 : 0);
    }
    if (!told_) {
      told_ = true;
      listener_.say(fmt::format("process {} downloads it; waiting", numbers[0]));
    }
    if (numbers[2] > 0) {
      listener_.expect(numbers[2]);
      listener_.have(std::min(numbers[1], numbers[2]));
    }
  }

 private:
  Listener& listener_;
  bool told_ = false;
};

class Pull {
 public:
  Pull(ModelId id, const Settings& settings, Patience& patience, Transport& transport)
      : id_(std::move(id)),
        settings_(settings),
        folder_(settings.cache, id_.repository),
        patience_(patience),
        transport_(transport) {}

  Result<std::string> run(Listener& listener) {
    BATON_TRY_ASSIGN(const auto commit, ask_commit());
    listener.say(fmt::format("{} is commit {}", to_string(id_), commit.substr(0, 12)));
    BATON_TRY_ASSIGN(const auto files, ask_files(commit));
    BATON_TRY_ASSIGN(auto wanted, small_files(files));
    std::vector<std::string> shards;
    if (const auto index = std::ranges::find(wanted, kIndexFile, &RemoteFile::path);
        index != wanted.end()) {
      BATON_TRY_ASSIGN(shards, shards_of(commit, *index, listener));
    }
    BATON_TRY_ASSIGN(const auto weights, weight_files(files, shards));
    wanted.insert(wanted.end(), weights.begin(), weights.end());
    BATON_TRY(expect(wanted, listener));
    std::uint64_t before = 0;
    for (const RemoteFile& file : wanted) {
      BATON_TRY(fetch(commit, file, before, listener));
      before += file.size;
    }
    // config.json last: a snapshot that has it has all of them.
    std::ranges::partition(wanted, [](const RemoteFile& f) { return f.path != "config.json"; });
    for (const RemoteFile& file : wanted) {
      BATON_TRY(link_file(folder_, commit, file.path, file.digest));
    }
    if (id_.revision != commit) {
      BATON_TRY(write_ref(folder_, id_.revision, commit));
    }
    return folder_.snapshot(commit);
  }

 private:
  Url api(std::string_view kind, std::string_view revision, std::string_view query) const {
    Url url = settings_.endpoint;
    url.target += fmt::format("/api/models/{}/{}/{}{}", id_.repository, kind,
                              percent_encoded(revision, Slashes::kEncode), query);
    return url;
  }
  Url file_url(const std::string& commit, const RemoteFile& file) const {
    Url url = settings_.endpoint;
    url.target += fmt::format("/{}/resolve/{}/{}", id_.repository, commit,
                              percent_encoded(file.path, Slashes::kKeep));
    return url;
  }

  Result<std::string> ask(const Url& url, http::Headers* headers = nullptr) {
    while (true) {
      auto body = transport_.get_all(url, kMaxAnswer, headers);
      if (body) {
        patience_.progressed();
        return *std::move(body);
      }
      BATON_TRY(patience_.wait_after(body.error()));
    }
  }

  Result<std::string> ask_commit() {
    BATON_TRY_ASSIGN(const auto body, ask(api("revision", id_.revision, "")));
    return read_commit(body);
  }

  Result<std::vector<RemoteFile>> ask_files(const std::string& commit) {
    std::vector<RemoteFile> files;
    Url at = api("tree", commit, "?recursive=true&expand=false");
    for (std::size_t i = 0; i < kMaxPages; ++i) {
      http::Headers headers;
      BATON_TRY_ASSIGN(const auto body, ask(at, &headers));
      BATON_TRY(read_tree(body, files));
      const auto next = next_link(headers.get("Link").value_or(""));
      if (next.empty()) return files;
      BATON_TRY_ASSIGN(at, resolve(at, next).with("the hub's list of files"));
    }
    return invalid(fmt::format("the hub lists files on more than {} pages", kMaxPages));
  }

  Status fetch(const std::string& commit, const RemoteFile& file, std::uint64_t before,
               Listener& listener) {
    const Url url = file_url(commit, file);
    return fetch_blob(transport_, patience_, url, file, folder_, before, listener);
  }

  Result<std::vector<std::string>> shards_of(const std::string& commit, const RemoteFile& index,
                                             Listener& listener) {
    BATON_TRY(fetch(commit, index, 0, listener));
    std::ifstream in(folder_.blob(index.digest), std::ios::binary);
    return read_index(std::string(std::istreambuf_iterator<char>(in), {}));
  }

  // What is to come, if the disk has room for it.
  Status expect(const std::vector<RemoteFile>& wanted, Listener& listener) {
    std::uint64_t total = 0, needed = 0;
    for (const RemoteFile& file : wanted) {
      std::error_code error;
      const auto name = folder_.blob(file.digest);
      total += file.size;
      if (fs::exists(name, error)) continue;
      const auto begun = fs::file_size(name + ".incomplete", error);
      needed += file.size - std::min(file.size, error ? 0 : begun);
    }
    std::error_code error;
    const auto space = fs::space(settings_.cache, error);
    if (!error && needed > 0 && space.available < needed + kSpare) {
      return exhausted(
          fmt::format("{} bytes are to come, {} are free in {}: make room, or set HF_HUB_CACHE",
                      needed, space.available, settings_.cache));
    }
    listener.expect(total);
    return {};
  }

  const ModelId id_;
  const Settings& settings_;
  const ModelFolder folder_;
  Patience& patience_;
  Transport& transport_;
};

// The lock to get the model with, or its folder when somebody else has got it meanwhile.
struct Turn {
  std::optional<FileLock> lock;
  std::string folder;
};
Result<Turn> take_turn(const ModelId& id, Want want, const Settings& settings,
                       const Patience& patience, Listener& listener, const Clock& clock) {
  const auto file = ModelFolder(settings.cache, id.repository).pull_lock();
  Waiting waiting(listener);
  std::string seen;
  Mono until = clock.now() + kStuck;
  while (true) {
    BATON_TRY_ASSIGN(auto lock, FileLock::try_lock(file, FileLock::Kind::kExclusive));
    if (lock) {
      auto folder = want == Want::kAny ? find_complete(settings.cache, id) : std::nullopt;
      if (folder) return Turn{std::nullopt, *std::move(folder)};
      return Turn{std::move(lock), ""};
    }
    auto note = read_note(file);
    waiting.look(note);
    if (note != seen) {
      seen = std::move(note);
      until = clock.now() + kStuck;
    }
    if (clock.now() > until) {
      return timed_out(fmt::format("another process holds {} and brings nothing: {}", file, seen));
    }
    patience.sleep(kLookAtBlob);
  }
}

}  // namespace

Result<std::string> pull(const ModelId& id, Want want, const Settings& settings, Patience patience,
                         Listener& listener, const Clock& clock) {
  if (settings.cache.empty()) {
    return invalid("no place for models: set HF_HUB_CACHE, HF_HOME or HOME");
  }
  if (want == Want::kAny || settings.is_offline) {
    if (auto folder = find_complete(settings.cache, id)) return *std::move(folder);
  }
  if (settings.is_offline) {
    return unsupported(fmt::format("model {} is not in {}, and HF_HUB_OFFLINE forbids to get it",
                                   to_string(id), settings.cache));
  }
  const auto context = fmt::format("model {}", to_string(id));
  BATON_TRY_ASSIGN(Turn turn,
                   take_turn(id, want, settings, patience, listener, clock).with(context));
  if (!turn.lock) return std::move(turn.folder);
  BATON_TRY_ASSIGN(const auto transport, Transport::open(settings, to_string(id), clock));
  Shared shared(listener, *turn.lock, clock);
  return Pull(id, settings, patience, *transport).run(shared).with(context);
}

}  // namespace baton::hub
