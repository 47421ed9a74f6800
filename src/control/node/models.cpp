#include "control/node/models.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

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

Status link_model(const std::string& folder, const std::string& model) {
  std::error_code error;
  const auto trouble = [&] {
    return unavailable(fmt::format("linking {} to {}: {}", folder, model, error.message()));
  };
  std::vector<fs::path> files;
  bool has_links = false;
  for (fs::directory_iterator at(model, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    has_links = has_links || at->is_symlink(ignored);
    files.push_back(at->path());
  }
  if (error) return trouble();
  fs::remove_all(folder, error);
  if (!error) fs::create_directories(fs::path(folder).parent_path(), error);
  if (error) return trouble();
  if (!has_links) {
    fs::create_directory_symlink(model, folder, error);
    return error ? Status(trouble()) : Status();
  }
  fs::create_directories(folder, error);
  if (error) return trouble();
  for (const auto& file : files) {
    const auto target = fs::canonical(file, error);
    if (!error) fs::create_symlink(target, fs::path(folder) / file.filename(), error);
    if (error) return trouble();
  }
  return {};
}

std::optional<hub::FileLock> mark_model_used(const std::string& uri, const Config& config) {
  if (!uri.starts_with("hf://") || config.emulates_accelerators()) return std::nullopt;
  const auto id = hub::parse_model_id(uri);
  if (!id || config.hub.cache.empty()) return std::nullopt;
  return hub::mark_used(config.hub.cache, *id);
}

}  // namespace baton::node
