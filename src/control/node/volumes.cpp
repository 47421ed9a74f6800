#include "control/node/volumes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include "control/node/models.hpp"
#include "formats/api/names.hpp"
#include "net/kube/object.hpp"

namespace baton::node {

namespace {

namespace fs = std::filesystem;

const text::json::Array& items(const kube::Object& object,
                               std::initializer_list<std::string_view> path) {
  static const text::json::Array kNone;
  const auto* list = object.find_path(path);
  return list == nullptr || list->if_array() == nullptr ? kNone : *list->if_array();
}

Error file_error(const std::string& what, const std::error_code& error) {
  return unavailable(fmt::format("{}: {}", what, error.message()));
}

Status make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return file_error("making " + folder, error);
  return {};
}

Status write_file(const fs::path& file, std::string_view text) {
  BATON_TRY(make_folder(file.parent_path().string()));
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!out.flush()) return unavailable("writing " + file.string() + " failed");
  std::error_code error;
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write, error);
  if (error) return file_error("permissions of " + file.string(), error);
  return {};
}

bool holds(const fs::path& file, std::string_view text) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return false;  // to read a folder would throw
  std::ifstream in(file, std::ios::binary);
  const std::string found{std::istreambuf_iterator<char>(in), {}};
  return in && found == text;
}

using Files = std::map<std::string, std::string>;  // by relative path

// Puts the files there all at once, as the kubelet does: each is a link into ..data, a link to the
// folder that holds them, and that link is what changes. A reader never sees a certificate of
// today beside a key of yesterday. What is so already stays.
Status write_files(const fs::path& folder, const Files& files) {
  const auto same = [&](const auto& file) { return holds(folder / file.first, file.second); };
  if (std::ranges::all_of(files, same)) return {};
  std::error_code error;
  const fs::path before = fs::read_symlink(folder / "..data", error);
  const std::string now = before == "..0" ? "..1" : "..0";
  fs::remove_all(folder / now, error);
  for (const auto& [path, text] : files) {
    BATON_TRY(write_file(folder / now / path, text));
    const fs::path top = *fs::path(path).begin();
    if (fs::is_symlink(fs::symlink_status(folder / top, error))) continue;
    fs::create_symlink(fs::path("..data") / top, folder / top, error);
    if (error) return file_error("linking " + (folder / top).string(), error);
  }
  fs::create_symlink(now, folder / "..new", error);
  if (!error) fs::rename(folder / "..new", folder / "..data", error);
  if (error) return file_error("writing " + folder.string(), error);
  return {};
}

bool stays_inside(const fs::path& relative) {
  return !relative.empty() && !relative.is_absolute() &&
         std::ranges::find(relative, "..") == relative.end();
}

Result<std::string> path_of(const kube::Object& item, std::string_view what) {
  const fs::path given(item.string_at({"path"}));
  const fs::path relative = given.lexically_normal();
  // What begins with .. is the folder's own, as ..data is.
  if (stays_inside(given) && relative.has_filename() && relative != "." &&
      !relative.string().starts_with("..")) {
    return relative.string();
  }
  return invalid(fmt::format("{} path '{}'", what, given.string()));
}

// Keys become files; `items` of the source chooses and renames them.
Result<Files> data_files(std::string_view kind, const kube::Object& source,
                         std::string_view name_member, const ReadObject& read) {
  const auto object = read(kind, std::string(source.string_at({name_member})));
  if (!object) {
    if (may_miss(source, object.error())) return Files();
    return object.error();
  }
  const auto& chosen = items(source, {"items"});
  if (chosen.empty()) return all_data(*object);
  Files files;
  for (const auto& item : chosen) {
    BATON_TRY_ASSIGN(auto text, data_of(*object, item.string_at({"key"})));
    BATON_TRY_ASSIGN(const auto path, path_of(item, "volume item"));
    files[path] = std::move(text);
  }
  return files;
}

// items: fields of the pod, each a file.
Result<Files> field_files(const kube::Object& pod, const kube::Object& source) {
  Files files;
  for (const auto& item : items(source, {"items"})) {
    BATON_TRY_ASSIGN(const auto path, path_of(item, "volume item"));
    if (item.find("fieldRef") == nullptr) {
      return unsupported(fmt::format("downwardAPI item {}: only fieldRef", path));
    }
    BATON_TRY_ASSIGN(files[path], pod_field(pod, item.string_at({"fieldRef", "fieldPath"})));
  }
  return files;
}

Result<Files> token_files(const kube::Object& source, const RequestToken& request) {
  constexpr std::int64_t kHour = 3600;  // the API's default
  BATON_TRY_ASSIGN(const auto path, path_of(source, "token"));
  const auto* seconds = source.find("expirationSeconds");
  Files files;
  BATON_TRY_ASSIGN(files[path],
                   request(source.string_at({"audience"}),
                           seconds == nullptr ? kHour : seconds->if_int().value_or(kHour)));
  return files;
}

Result<Files> source_files(const kube::Object& pod, const kube::Object& source,
                           const Sources& from) {
  if (const auto* map = source.find("configMap")) {
    return data_files("ConfigMap", *map, "name", from.read);
  }
  if (const auto* secret = source.find("secret")) {
    return data_files("Secret", *secret, "name", from.read);
  }
  if (const auto* fields = source.find("downwardAPI")) return field_files(pod, *fields);
  if (const auto* token = source.find("serviceAccountToken")) {
    return token_files(*token, from.token);
  }
  return unsupported("projected: only configMap, secret, downwardAPI and serviceAccountToken");
}

// The files of all sources, which share the folder and so are written together; of two of one path
// the later one's.
Result<Files> projected_files(const kube::Object& pod, const kube::Object& projected,
                              const Sources& from) {
  Files files;
  for (const auto& source : items(projected, {"sources"})) {
    BATON_TRY_ASSIGN(auto more, source_files(pod, source, from));
    more.merge(files);
    files = std::move(more);
  }
  return files;
}

// Of a ConfigMap or a Secret; nullopt for a volume of another kind.
std::optional<Result<Files>> renewed_files(const kube::Object& volume, const ReadObject& read) {
  if (const auto* map = volume.find("configMap"))
    return data_files("ConfigMap", *map, "name", read);
  if (const auto* secret = volume.find("secret")) {
    return data_files("Secret", *secret, "secretName", read);
  }
  return std::nullopt;
}

Status make_volume(const kube::Object& pod, const kube::Object& volume, const std::string& folder,
                   const Config& config, const Sources& from) {
  if (volume.find("hostPath") != nullptr) return {};
  if (const auto* claim = volume.find("persistentVolumeClaim")) {
    if (config.emulates_accelerators()) return {};
    std::error_code error;
    const auto found = fs::status(folder, error);
    if (fs::is_directory(found)) return {};
    if (!fs::status_known(found)) return file_error("looking at " + folder, error);
    return not_found(fmt::format("claim {}: its volume on this machine would be the folder {}",
                                 claim->string_at({"claimName"}), folder));
  }
  BATON_TRY(make_folder(folder));
  if (auto data = renewed_files(volume, from.read)) {
    BATON_TRY_ASSIGN(const auto files, *std::move(data));
    return write_files(folder, files);
  }
  if (const auto* source = volume.find("downwardAPI")) {
    BATON_TRY_ASSIGN(const auto files, field_files(pod, *source));
    return write_files(folder, files);
  }
  if (const auto* source = volume.find("projected")) {
    BATON_TRY_ASSIGN(const auto files, projected_files(pod, *source, from));
    return write_files(folder, files);
  }
  return {};
}

const kube::Object* volume_named(const kube::Object& pod, std::string_view name) {
  for (const auto& volume : items(pod, {"spec", "volumes"})) {
    if (volume.string_at({"name"}) == name) return &volume;
  }
  return nullptr;
}

}  // namespace

PodFolders folders_of(const Config& config, const kube::Object& pod) {
  const auto ns = kube::namespace_of(pod);
  const auto name = kube::name_of(pod);
  return {fmt::format("{}/pods/{}_{}", config.state_dir, ns, name),
          fmt::format("{}/logs/{}/{}", config.state_dir, ns, name)};
}

Result<std::map<std::string, std::string>> volume_folders(const kube::Object& pod,
                                                          const PodFolders& folders,
                                                          const Config& config) {
  std::map<std::string, std::string> out;
  for (const auto& volume : items(pod, {"spec", "volumes"})) {
    const std::string name(volume.string_at({"name"}));
    if (!api::is_dns_label(name)) {  // it becomes a folder's
      return invalid(fmt::format("volume name '{}': expected a DNS label", name));
    }
    if (const auto* host = volume.find("hostPath")) {
      out[name] = host->string_at({"path"});
    } else if (const auto* claim = volume.find("persistentVolumeClaim")) {
      out[name] = claim_folder(config, claim->string_at({"claimName"}));
    } else if (volume.find("emptyDir") || volume.find("configMap") || volume.find("secret") ||
               volume.find("downwardAPI") || volume.find("projected")) {
      out[name] = fmt::format("{}/volumes/{}", folders.pod, name);
    } else {
      return unsupported(fmt::format(
          "volume {}: only emptyDir, configMap, secret, downwardAPI, projected, hostPath and "
          "persistentVolumeClaim work on one machine",
          name));
    }
  }
  return out;
}

Status make_volumes(const kube::Object& pod, const std::map<std::string, std::string>& folders,
                    const Config& config, const Sources& sources) {
  for (const auto& volume : items(pod, {"spec", "volumes"})) {
    const std::string name(volume.string_at({"name"}));
    BATON_TRY(make_volume(pod, volume, folders.at(name), config, sources).with("volume " + name));
  }
  return {};
}

bool has_renewed_volumes(const kube::Object& pod) {
  return std::ranges::any_of(items(pod, {"spec", "volumes"}), [](const auto& volume) {
    return volume.find("configMap") != nullptr || volume.find("secret") != nullptr;
  });
}

Status renew_volumes(const kube::Object& pod, const std::map<std::string, std::string>& folders,
                     const ReadObject& read) {
  Status first;
  for (const auto& volume : items(pod, {"spec", "volumes"})) {
    auto data = renewed_files(volume, read);
    if (!data) continue;
    const std::string name(volume.string_at({"name"}));
    const bool is_silent = !*data && (data->error().code() == Code::kUnavailable ||
                                      data->error().code() == Code::kTimeout);
    auto renewed =
        (*std::move(data))
            .and_then([&](const Files& files) { return write_files(folders.at(name), files); })
            .with("volume " + name);
    if (first && !renewed) first = std::move(renewed);
    if (is_silent) break;  // to wait for the server once is enough
  }
  return first;
}

namespace {

// Which differences of a mount from its folder only a mount namespace can make.
Mount mount_of(const kube::Object& entry, const kube::Object& volume, const Config& config,
               std::string folder) {
  const auto is_true = [](const kube::Object* flag) {
    return flag != nullptr && flag->if_bool() != nullptr && *flag->if_bool();
  };
  Mount out{std::string(entry.string_at({"mountPath"})), std::move(folder)};
  while (out.path.size() > 1 && out.path.back() == '/') out.path.pop_back();
  const auto* claim = volume.find("persistentVolumeClaim");
  if (claim != nullptr && config.emulates_accelerators()) {
    out.folder = config.stand_in;
    out.read_only = true;
  }
  out.read_only = out.read_only || is_true(entry.find("readOnly")) || volume.find("configMap") ||
                  volume.find("secret") || volume.find("downwardAPI") || volume.find("projected") ||
                  (claim != nullptr && is_true(claim->find("readOnly")));
  // Memory that processes share and pin cannot lie on a disk.
  out.in_memory = out.path == "/dev/shm" && volume.string_at({"emptyDir", "medium"}) == "Memory";
  return out;
}

}  // namespace

Result<std::vector<Mount>> mounts_of(const kube::Object& container, const kube::Object& pod,
                                     const std::map<std::string, std::string>& folders,
                                     const Config& config) {
  std::vector<Mount> out;
  for (const auto& entry : items(container, {"volumeMounts"})) {
    const std::string name(entry.string_at({"name"}));
    const auto found = folders.find(name);
    const auto* volume = volume_named(pod, name);
    if (found == folders.end() || volume == nullptr) {
      return invalid(fmt::format("container {}: mount {} names no volume of the pod",
                                 container.string_at({"name"}), name));
    }
    std::string folder = found->second;
    if (const auto sub = entry.string_at({"subPath"}); !sub.empty()) {
      if (!stays_inside(sub)) return invalid(fmt::format("mount {}: subPath '{}'", name, sub));
      folder += "/" + std::string(sub);
    }
    out.push_back(mount_of(entry, *volume, config, std::move(folder)));
  }
  return out;
}

Status make_sub_paths(const std::vector<Mount>& mounts, const PodFolders& folders) {
  for (const auto& mount : mounts) {
    const bool is_own = mount.folder.starts_with(folders.pod + "/");
    std::error_code error;  // making it says what is wrong
    if (!is_own || fs::exists(mount.folder, error)) continue;
    BATON_TRY(make_folder(mount.folder));
  }
  return {};
}

}  // namespace baton::node
