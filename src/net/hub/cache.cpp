#include "net/hub/cache.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "net/hub/listing.hpp"

namespace baton::hub {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";
constexpr std::size_t kMaxCommit = 64;

std::string folder_name(std::string_view repository) {
  std::string out(kPrefix);
  for (const char c : repository) out += c == '/' ? "--" : std::string(1, c);
  return out;
}

std::optional<std::string> repository_of(std::string_view folder) {
  if (!folder.starts_with(kPrefix)) return std::nullopt;
  std::string name(folder.substr(kPrefix.size()));
  if (const auto mark = name.find("--"); mark != std::string::npos) name.replace(mark, 2, "/");
  const auto id = parse_model_id(name);
  if (!id || id->repository != name) return std::nullopt;
  return name;
}

// A file of at most `limit` bytes; "" when it is longer or absent.
std::string read_small(const std::string& file, std::size_t limit) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (error || size > limit) return "";
  std::ifstream in(file, std::ios::binary);
  std::string text(size, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return text;
}

// The commit in a ref's file; "" when it is none.
std::string read_ref(const std::string& file) {
  auto text = read_small(file, kMaxCommit);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  const bool plain = std::ranges::all_of(
      text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; });
  return plain ? text : "";
}

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);  // where a link leads to
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::vector<fs::path> entries_of(const std::string& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    out.push_back(at->path());
  }
  std::ranges::sort(out);
  return out;
}

Error file_error(const std::string& doing, int number) {
  const auto text = fmt::format("{}: {}", doing, std::strerror(number));
  if (number == ENOSPC || number == EDQUOT) return exhausted(text);
  return number == EACCES || number == EROFS || number == EPERM ? denied(text) : unavailable(text);
}

Status make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return file_error("making " + folder.string(), error.value());
  return {};
}

std::string beside(const std::string& path) { return fmt::format("{}.{}.new", path, ::getpid()); }

Status rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  const int number = errno;
  ::unlink(from.c_str());
  return file_error("renaming to " + to, number);
}

Wall last_access(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return {};
  const auto at = std::max(info.st_atim.tv_sec, info.st_mtim.tv_sec);
  return Wall(std::chrono::seconds(at));
}

struct Amount {
  std::uint64_t bytes = 0;
  Wall last;
};

Amount amount_of(const std::string& snapshot) {
  Amount out;
  std::error_code error;
  std::size_t files = 0;
  for (fs::recursive_directory_iterator at(snapshot, error), end; !error && at != end;
       at.increment(error)) {
    const auto path = at->path().string();
    if (!is_file(path) || ++files > kMaxFiles) continue;
    std::error_code ignored;
    out.bytes += fs::file_size(path, ignored);
    out.last = std::max(out.last, last_access(path));
  }
  return out;
}

std::uint64_t unfinished_of(const ModelFolder& folder) {
  std::uint64_t out = 0;
  for (const auto& blob : entries_of(folder.root + "/blobs")) {
    std::error_code error;
    const auto size = fs::file_size(blob, error);
    if (blob.extension() == ".incomplete" && !error) out += size;
  }
  return out;
}

// Commit -> the revisions that mean it.
std::multimap<std::string, std::string> refs_of(const ModelFolder& folder) {
  std::multimap<std::string, std::string> out;
  const auto base = folder.root + "/refs";
  std::error_code error;
  for (fs::recursive_directory_iterator at(base, error), end; !error && at != end;
       at.increment(error)) {
    const auto path = at->path().string();
    if (!is_file(path) || out.size() >= kMaxFiles) continue;
    if (auto commit = read_ref(path); !commit.empty()) {
      out.emplace(std::move(commit), path.substr(base.size() + 1));
    }
  }
  return out;
}

bool is_locked(const std::string& file) {
  if (!is_file(file)) return false;
  const auto lock = FileLock::try_lock(file, FileLock::Kind::kExclusive);
  return lock && !*lock;
}

void add_model(const std::string& cache, const std::string& repository,
               std::vector<CachedModel>& out) {
  const ModelFolder folder(cache, repository);
  const auto refs = refs_of(folder);
  CachedModel common;
  common.id.repository = repository;
  common.unfinished = unfinished_of(folder);
  common.is_used = is_locked(folder.use_lock());
  const auto used = last_access(folder.use_lock());
  const auto before = out.size();
  for (const auto& path : entries_of(folder.root + "/snapshots")) {
    if (!is_folder(path.string())) continue;
    CachedModel model = common;
    model.commit = path.filename().string();
    const auto amount = amount_of(path.string());
    model.bytes = amount.bytes;
    model.last_used = std::max(used, amount.last);
    model.missing = missing_files(path.string());
    const auto [first, last] = refs.equal_range(model.commit);
    if (first == last) {
      model.id.revision = model.commit;
      out.push_back(model);
    }
    for (auto ref = first; ref != last; ++ref) {
      model.id.revision = ref->second;
      out.push_back(model);
    }
  }
  if (out.size() == before && is_folder(folder.root)) out.push_back(std::move(common));
}

}  // namespace

ModelFolder::ModelFolder(const std::string& cache, const std::string& repository)
    : root(cache + "/" + folder_name(repository)),
      locks(cache + "/.locks/" + folder_name(repository)) {}

std::optional<std::string> find_snapshot(const std::string& cache, const ModelId& id) {
  if (cache.empty()) return std::nullopt;
  const ModelFolder folder(cache, id.repository);
  const auto commit = read_ref(folder.ref(id.revision));
  auto out = folder.snapshot(commit.empty() ? id.revision : commit);
  return is_folder(out) ? std::optional(std::move(out)) : std::nullopt;
}

std::vector<std::string> missing_files(const std::string& snapshot) {
  std::vector<std::string> out;
  const auto at = [&](std::string_view name) { return fmt::format("{}/{}", snapshot, name); };
  for (const char* name : {"config.json", "tokenizer.json"}) {
    if (!is_file(at(name))) out.emplace_back(name);
  }
  if (is_file(at(kIndexFile))) {
    const auto shards = read_index(read_small(at(kIndexFile), kMaxSmallFile));
    if (!shards) out.emplace_back(kIndexFile);
    for (const auto& shard : shards ? *shards : std::vector<std::string>{}) {
      if (!is_file(at(shard))) out.push_back(shard);
    }
    return out;
  }
  const auto files = entries_of(snapshot);
  const bool has_weights = std::ranges::any_of(files, [](const fs::path& file) {
    return file.extension() == ".safetensors" && !is_other_format(file.filename().string()) &&
           is_file(file.string());
  });
  if (!has_weights) out.emplace_back("model.safetensors");
  return out;
}

std::optional<std::string> find_complete(const std::string& cache, const ModelId& id) {
  auto out = find_snapshot(cache, id);
  if (out && !missing_files(*out).empty()) out.reset();
  return out;
}

Status write_ref(const ModelFolder& folder, const std::string& revision,
                 const std::string& commit) {
  const auto file = folder.ref(revision);
  BATON_TRY(make_folder(fs::path(file).parent_path()));
  const auto fresh = beside(file);
  {
    std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
    out << commit;
    out.flush();
    if (!out) {
      const int number = errno;
      ::unlink(fresh.c_str());
      return file_error("writing " + file, number);
    }
  }
  return rename_file(fresh, file);
}

Status link_file(const ModelFolder& folder, const std::string& commit, const std::string& path,
                 const std::string& digest) {
  const auto link = folder.snapshot(commit) + "/" + path;
  BATON_TRY(make_folder(fs::path(link).parent_path()));
  std::string up = "../../";
  for (const char c : path) up += c == '/' ? "../" : "";
  const auto target = up + "blobs/" + digest;
  const auto fresh = beside(link);
  ::unlink(fresh.c_str());
  if (::symlink(target.c_str(), fresh.c_str()) != 0) return file_error("linking " + link, errno);
  return rename_file(fresh, link);
}

std::optional<FileLock> mark_used(const std::string& cache, const ModelId& id) {
  const ModelFolder folder(cache, id.repository);
  auto lock = FileLock::try_lock(folder.use_lock(), FileLock::Kind::kShared);
  if (!lock || !*lock) return std::nullopt;
  (*lock)->touch();
  return *std::move(lock);
}

std::vector<CachedModel> list_models(const std::string& cache) {
  std::vector<CachedModel> out;
  for (const auto& entry : entries_of(cache)) {
    if (const auto name = repository_of(entry.filename().string())) add_model(cache, *name, out);
  }
  std::ranges::sort(out, {},
                    [](const auto& m) { return std::pair(m.id.repository, m.id.revision); });
  return out;
}

Result<std::uint64_t> remove_model(const std::string& cache, const std::string& repository) {
  const ModelFolder folder(cache, repository);
  std::error_code error;
  const auto kind = fs::symlink_status(folder.root, error).type();
  if (kind == fs::file_type::not_found) {
    return not_found(fmt::format("no model {} in {}", repository, cache));
  }
  if (kind != fs::file_type::directory) {
    return denied(fmt::format("{} is no folder of the cache but leads elsewhere", folder.root));
  }
  BATON_TRY_ASSIGN(const auto use,
                   FileLock::try_lock(folder.use_lock(), FileLock::Kind::kExclusive));
  if (!use) return conflict(fmt::format("model {} is in use: stop what serves it", repository));
  BATON_TRY_ASSIGN(const auto pull,
                   FileLock::try_lock(folder.pull_lock(), FileLock::Kind::kExclusive));
  if (!pull) return conflict(fmt::format("model {} is being downloaded", repository));
  std::uint64_t bytes = 0;
  for (const auto& blob : entries_of(folder.root + "/blobs")) {
    std::error_code ignored;
    if (fs::is_symlink(blob, ignored)) continue;
    const auto size = fs::file_size(blob, ignored);
    if (!ignored) bytes += size;
  }
  // Names first: what is half removed is no model.
  for (const char* part : {"/refs", "/snapshots", "/blobs", ""}) {
    fs::remove_all(folder.root + part, error);
    if (error) return file_error("removing " + folder.root + part, error.value());
  }
  return bytes;
}

}  // namespace baton::hub
