#include "cli/model_manifest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/text/json.hpp"
#include "net/hub/model_id.hpp"

namespace baton::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxLabel = 40;  // names of children are longer, and have 63 characters

// A name that Kubernetes takes (RFC 1035 2.3.1): "Qwen2.5-0.5B" -> "qwen2-5-0-5b".
std::string resource_name(std::string_view model) {
  std::string out;
  for (const char c : model.substr(model.rfind('/') + 1)) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = std::isalnum(byte) != 0;
    if (plain) out += static_cast<char>(std::tolower(byte));
    if (!plain && !out.empty() && out.back() != '-') out += '-';
  }
  if (out.empty() || std::isdigit(static_cast<unsigned char>(out.front())) != 0)
    out.insert(0, "m-");
  out.resize(std::min(out.size(), kMaxLabel));
  while (out.ends_with('-')) out.pop_back();
  return out;
}

std::string yaml_string(std::string_view text) {
  std::string out;
  text::json::append_quoted(out, text);
  return out;
}

ModelChoice of_folder(const std::string& folder) {
  std::error_code error;
  auto path = fs::absolute(folder, error).lexically_normal().string();
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return {"file://" + path, fs::path(path).filename().string()};
}

// A part of a container list, indented for its place.
std::string with_context(std::string_view indent, std::optional<std::uint64_t> context) {
  if (!context) return "";
  return fmt::format(
      "{0}template:\n{0}  containers:\n{0}    - name: main\n{0}      args: "
      "[--max-model-len={1}]\n",
      indent, *context);
}

}  // namespace

Result<ModelChoice> choose_model(const std::string& given) {
  std::error_code error;
  if (given.starts_with("file://")) return of_folder(given.substr(7));
  if (given.starts_with("baton://")) return ModelChoice{given, given.substr(8)};
  if (!given.contains("://") && fs::is_regular_file(given + "/config.json", error)) {
    return of_folder(given);
  }
  if (given.starts_with("/") || given.starts_with(".")) {
    return not_found(fmt::format("model {}: no folder with a config.json", given));
  }
  BATON_TRY_ASSIGN(const auto id, hub::parse_model_id(given));
  const bool of_hub = given.starts_with("hf://") || id.repository.contains('/');
  if (!of_hub) return ModelChoice{"baton://" + given, given};
  const auto revision = id.revision == "main" ? "" : ":" + id.revision;
  return ModelChoice{"hf://" + id.repository + revision, id.repository};
}

std::optional<std::uint64_t> context_for(std::string_view config_json) {
  const auto config = text::json::parse(config_json);
  const auto* longest = config ? config->find("max_position_embeddings") : nullptr;
  const auto tokens = longest == nullptr ? std::nullopt : longest->if_uint();
  if (!tokens || *tokens <= kDefaultContext) return std::nullopt;
  return kDefaultContext;
}

std::string model_manifest(const ModelChoice& model, Topology topology,
                           std::optional<std::uint64_t> context) {
  std::string out = fmt::format(
      "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata:\n  name: {}\n"
      "spec:\n  model:\n    uri: {}\n    name: {}\n  replicas: 1\n",
      resource_name(model.name), yaml_string(model.uri), yaml_string(model.name));
  out += with_context("  ", context);
  if (topology == Topology::kSplit) {
    out += "  prefill:\n    replicas: 1\n" + with_context("    ", context);
  }
  return out + "  router:\n    route: {}\n    gateway: {}\n    scheduler: {}\n";
}

}  // namespace baton::cli
