#include "control/node/models.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <fstream>
#include <vector>

namespace baton::node {

namespace {

namespace fs = std::filesystem;

std::string in_cache(const std::string& hf_home, const std::string& repository) {
  std::string folder = "models--" + repository;
  if (const auto slash = folder.find('/'); slash != std::string::npos)
    folder.replace(slash, 1, "--");
  const std::string base = hf_home + "/hub/" + folder;
  std::ifstream in(base + "/refs/main");
  std::string revision;
  in >> revision;
  return base + "/snapshots/" + (revision.empty() ? "(refs/main)" : revision);
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
    if (!config.hf_home.empty()) out.push_back(in_cache(config.hf_home, rest));
  }
  return out;
}

std::string_view advice(std::string_view scheme) {
  if (scheme == "hf") return "give --model-dir DIR that holds it, or --stand-in storyteller";
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
  const auto looked_at = candidates(scheme, rest, config);
  for (const auto& candidate : looked_at) {
    std::error_code ignored;
    if (fs::is_directory(candidate, ignored)) return candidate;
  }
  return not_found(fmt::format("model {} is not on this machine; looked for {}; {}", uri,
                               looked_at.empty() ? "nothing: no folder is configured"
                                                 : fmt::format("{}", fmt::join(looked_at, ", ")),
                               advice(scheme)));
}

}  // namespace baton::node
