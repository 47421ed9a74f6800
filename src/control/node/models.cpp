#include "control/node/models.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "net/hub/cache.hpp"

namespace baton::node {

namespace {

namespace fs = std::filesystem;

// vLLM reads other weights than safetensors, too.
std::optional<std::string> in_cache(const hub::ModelId& id, const Config& config) {
  return config.engine == Engine::kVllm ? hub::find_snapshot(config.hub.cache, id)
                                        : hub::find_complete(config.hub.cache, id);
}

std::vector<std::string> candidates(std::string_view scheme, const std::string& rest,
                                    const Config& config) {
  std::vector<std::string> out;
  if (scheme == "baton") {
    for (const auto& dir : config.models_dirs) out.push_back(dir + "/" + rest);
  } else if (scheme == "file") {
    out.push_back(rest);
  } else if (scheme == "pvc") {
    out.push_back(claim_folder(config, rest));
  } else {
    for (const auto& dir : config.model_dirs) {
      out.push_back(dir + "/" + rest);
      out.push_back(dir + "/" + rest.substr(rest.rfind('/') + 1));
    }
  }
  return out;
}

std::string_view advice(std::string_view scheme) {
  if (scheme == "hf") return "`baton pull` gets it; or give --model-dir DIR that holds it";
  return "put the model there, or give --stand-in storyteller";
}

bool climbs(const std::string& path) {
  for (const auto& part : fs::path(path)) {
    if (part == "..") return true;
  }
  return false;
}

// "a/" names a.
fs::path link_place(std::string_view folder) {
  while (folder.size() > 1 && folder.ends_with('/')) folder.remove_suffix(1);
  return folder;
}

// link_model() makes absolute links only.
bool is_model_link(const fs::path& file) {
  std::error_code error;
  const auto target = fs::read_symlink(file, error);
  return !error && target.is_absolute();
}

std::vector<fs::path> entries_of(const fs::path& folder, std::error_code& error) {
  std::vector<fs::path> out;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    out.push_back(at->path());
  }
  return out;
}

// What can_link_model() has looked at. Never a folder with what it holds: that may be a user's.
void remove_links(const fs::path& place, std::error_code& error) {
  if (fs::is_directory(fs::symlink_status(place, error))) {
    for (const auto& entry : entries_of(place, error)) {
      if (!error && is_model_link(entry)) fs::remove(entry, error);
    }
    if (error) return;
  }
  fs::remove(place, error);
}

}  // namespace

std::string claim_folder(const Config& config, std::string_view claim) {
  return fmt::format("{}/pvc/{}", config.state_dir, claim);
}

Result<std::string> find_model(const std::string& uri, const Config& config) {
  if (config.emulates_accelerators()) return config.stand_in;
  const auto colon = uri.find("://");
  if (colon == std::string::npos || colon + 3 == uri.size()) {
    return invalid(fmt::format("model URI '{}': expected baton://, hf://, file:// or pvc://", uri));
  }
  const std::string scheme = uri.substr(0, colon);
  const std::string rest = uri.substr(colon + 3);
  if (scheme != "baton" && scheme != "hf" && scheme != "file" && scheme != "pvc") {
    return unsupported(
        fmt::format("model URI '{}': {}:// is not available on one machine; use baton://, hf:// "
                    "(from the local "
                    "cache), file:// or pvc://",
                    uri, scheme));
  }
  if (climbs(rest)) return invalid(fmt::format("model URI '{}': '..' is not allowed", uri));
  std::string name = rest;
  std::optional<hub::ModelId> id;
  if (scheme == "hf") {
    BATON_TRY_ASSIGN(id, hub::parse_model_id(uri));
    name = id->repository;
  }
  auto looked_at = candidates(scheme, name, config);
  for (const auto& candidate : looked_at) {
    std::error_code ignored;
    if (fs::is_directory(candidate, ignored)) return candidate;
  }
  if (id) {
    if (auto cached = in_cache(*id, config)) return *std::move(cached);
    if (!config.hub.cache.empty()) {
      looked_at.push_back(hub::ModelFolder(config.hub.cache, id->repository).root);
    }
  }
  return not_found(fmt::format("model {} is not on this machine; looked for {}; {}", uri,
                               looked_at.empty() ? "nothing: no folder is configured"
                                                 : fmt::format("{}", fmt::join(looked_at, ", ")),
                               advice(scheme)));
}

std::optional<std::vector<std::string>> pull_command(const std::string& uri, const Config& config,
                                                     const std::string& link_at) {
  if (!uri.starts_with("hf://") || config.hub.is_offline || config.hub.cache.empty()) {
    return std::nullopt;
  }
  std::vector<std::string> out = {config.baton, "pull", "--cached", uri};
  if (!link_at.empty()) out.insert(out.end(), {"--link", link_at});
  return out;
}

Result<Environment> pull_environment(const Environment& container, const Config& config) {
  Environment out;
  for (const auto& line : config.pull_environment) {
    const auto mark = line.find('=');
    if (mark != std::string::npos) out.set(line.substr(0, mark), line.substr(mark + 1));
  }
  out.set("HF_HUB_CACHE", config.hub.cache);
  if (const auto* endpoint = container.find("HF_ENDPOINT"); endpoint != nullptr) {
    if (*endpoint != out.get("HF_ENDPOINT")) {
      return denied(fmt::format(
          "storage initializer: HF_ENDPOINT {} is not the one of this machine: set it for `baton "
          "serve`",
          *endpoint));
    }
  }
  if (const auto* token = container.find("HF_TOKEN"); token != nullptr) out.set("HF_TOKEN", *token);
  return out;
}

Status can_link_model(const std::string& folder) {
  const fs::path place = link_place(folder);
  std::error_code error;
  const auto status = fs::symlink_status(place, error);
  if (!fs::exists(status) || fs::is_symlink(status)) return {};
  const auto occupied = [&](std::string_view by) {
    return invalid(
        fmt::format("{} is there already, {}: the model is linked only to a folder that is "
                    "missing, empty or of links from before; name another, or move it away",
                    place.string(), by));
  };
  if (!fs::is_directory(status)) return occupied("and no folder");
  for (const auto& entry : entries_of(place, error)) {
    if (!is_model_link(entry)) return occupied("with " + entry.filename().string() + " in it");
  }
  if (error) return unavailable(fmt::format("reading {}: {}", place.string(), error.message()));
  return {};
}

Status link_model(const std::string& folder, const std::string& model) {
  BATON_TRY(can_link_model(folder));
  const fs::path place = link_place(folder);
  std::error_code error;
  const auto trouble = [&] {
    return unavailable(fmt::format("linking {} to {}: {}", folder, model, error.message()));
  };
  const auto files = entries_of(model, error);
  if (error) return trouble();
  remove_links(place, error);
  if (!error && place.has_parent_path()) fs::create_directories(place.parent_path(), error);
  if (error) return trouble();
  const auto is_link = [](const fs::path& file) {
    std::error_code ignored;
    return fs::is_symlink(file, ignored);
  };
  if (std::ranges::none_of(files, is_link)) {
    fs::create_directory_symlink(model, place, error);
    return error ? Status(trouble()) : Status();
  }
  fs::create_directory(place, error);
  if (error) return trouble();
  for (const auto& file : files) {
    const auto target = fs::canonical(file, error);
    if (!error) fs::create_symlink(target, place / file.filename(), error);
    if (error) return trouble();
  }
  return {};
}

Status is_in_own_volume(const std::string& folder, const std::string& volumes) {
  std::error_code error;
  const auto own = fs::weakly_canonical(volumes, error);  // a pod may have none
  const auto parent =
      error ? fs::path() : fs::weakly_canonical(link_place(folder).parent_path(), error);
  if (error) return unavailable(fmt::format("{}: {}", folder, error.message()));
  const auto differs = std::mismatch(own.begin(), own.end(), parent.begin(), parent.end());
  if (!climbs(folder) && differs.first == own.end()) return {};
  return invalid(
      fmt::format("{} is in no volume of the pod's own, and what it holds would give way to the "
                  "model: make the volume an emptyDir, or name the model file://FOLDER where it is",
                  folder));
}

std::optional<hub::FileLock> mark_model_used(const std::string& uri, const Config& config) {
  if (!uri.starts_with("hf://") || config.emulates_accelerators()) return std::nullopt;
  const auto id = hub::parse_model_id(uri);
  if (!id || config.hub.cache.empty()) return std::nullopt;
  return hub::mark_used(config.hub.cache, *id);
}

}  // namespace baton::node
