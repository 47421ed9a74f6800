#include "net/hub/listing.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/text/json.hpp"
#include "net/hub/model_id.hpp"

namespace baton::hub {

namespace {

using text::json::Value;

constexpr std::array<std::string_view, 12> kSmall = {"config.json",
                                                     "generation_config.json",
                                                     "tokenizer.json",
                                                     "tokenizer_config.json",
                                                     "special_tokens_map.json",
                                                     "added_tokens.json",
                                                     "vocab.json",
                                                     "merges.txt",
                                                     "tokenizer.model",
                                                     "chat_template.json",
                                                     "chat_template.jinja",
                                                     kIndexFile};

bool is_hex(std::string_view text, std::size_t digits) {
  return text.size() == digits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// A path below a folder, whatever it is joined to.
bool is_inside(std::string_view path) {
  if (path.empty() || path.size() > kMaxPath || path.contains('\\')) return false;
  const bool plain =
      std::ranges::all_of(path, [](unsigned char c) { return c >= ' ' && c != 0x7f; });
  while (plain) {
    const auto part = path.substr(0, path.find('/'));
    if (part.empty() || part == "." || part == "..") return false;
    if (part.size() == path.size()) return true;
    path.remove_prefix(part.size() + 1);
  }
  return false;
}

Result<RemoteFile> read_file(const Value& entry) {
  RemoteFile out;
  out.path = entry.string_at({"path"});
  if (!is_inside(out.path)) {
    return invalid(fmt::format("the hub lists a file '{}': its path is refused",
                               std::string_view(out.path).substr(0, 100)));
  }
  const Value* lfs = entry.find("lfs");
  const Value& hashed = lfs != nullptr && lfs->is_object() ? *lfs : entry;
  const Value* size = hashed.find("size");
  if (size == nullptr) size = entry.find("size");
  const auto bytes = size == nullptr ? std::nullopt : size->if_uint();
  out.kind = &hashed == &entry ? DigestKind::kGitBlob : DigestKind::kSha256;
  out.digest = hashed.string_at({"oid"});
  if (!bytes || *bytes > kMaxWeights ||
      !is_hex(out.digest, out.kind == DigestKind::kSha256 ? 64 : 40)) {
    return invalid(
        fmt::format("the hub lists {} without a size and a hash that make sense", out.path));
  }
  out.size = *bytes;
  return out;
}

}  // namespace

bool is_other_format(std::string_view name) {
  return name.starts_with("consolidated") || name.starts_with("adapter");
}

Result<std::string> read_commit(std::string_view body) {
  const auto answer = text::json::parse(body);
  const std::string_view commit = answer ? answer->string_at({"sha"}) : "";
  if (!is_commit(commit)) return invalid("the hub's answer about the model names no commit");
  return std::string(commit);
}

Status read_tree(std::string_view body, std::vector<RemoteFile>& files) {
  const auto page = text::json::parse(body);
  const auto* entries = page ? page->if_array() : nullptr;
  if (entries == nullptr) return invalid("the hub's list of files is no JSON array");
  for (const Value& entry : *entries) {
    if (entry.string_at({"type"}) != "file") continue;
    if (files.size() == kMaxFiles) {
      return invalid(fmt::format("the hub lists more than {} files", kMaxFiles));
    }
    BATON_TRY_ASSIGN(RemoteFile file, read_file(entry));
    files.push_back(std::move(file));
  }
  return {};
}

Result<std::vector<RemoteFile>> small_files(const std::vector<RemoteFile>& files) {
  std::vector<RemoteFile> out;
  for (const RemoteFile& file : files) {
    if (std::ranges::find(kSmall, file.path) == kSmall.end()) continue;
    if (file.size > kMaxSmallFile) {
      return invalid(
          fmt::format("{} has {} bytes, expected at most {}", file.path, file.size, kMaxSmallFile));
    }
    out.push_back(file);
  }
  if (std::ranges::find(out, "config.json", &RemoteFile::path) == out.end()) {
    return not_found("it has no config.json: is it a model for transformers?");
  }
  return out;
}

Result<std::vector<std::string>> read_index(std::string_view body) {
  const auto index = text::json::parse(body);
  const Value* map = index ? index->find("weight_map") : nullptr;
  if (map == nullptr || map->if_object() == nullptr) {
    return invalid(fmt::format("{}: no weight_map", kIndexFile));
  }
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : *map->if_object()) {
    const auto* name = shard.if_string();
    if (name == nullptr || !is_inside(*name) || name->contains('/')) {
      return invalid(fmt::format("{}: tensor {} names a file that is refused", kIndexFile,
                                 std::string_view(tensor).substr(0, 100)));
    }
    shards.insert(*name);
    if (shards.size() > kMaxFiles) return invalid(fmt::format("{}: too many files", kIndexFile));
  }
  if (shards.empty()) return invalid(fmt::format("{}: weight_map is empty", kIndexFile));
  return std::vector<std::string>(shards.begin(), shards.end());
}

Result<std::vector<RemoteFile>> weight_files(const std::vector<RemoteFile>& files,
                                             const std::vector<std::string>& shards) {
  std::vector<RemoteFile> out;
  const auto listed = [&](std::string_view name) {
    return std::ranges::find(files, name, &RemoteFile::path);
  };
  for (const auto& shard : shards) {
    const auto file = listed(shard);
    if (file == files.end()) {
      return not_found(fmt::format("{} names {}, which the hub does not list", kIndexFile, shard));
    }
    out.push_back(*file);
  }
  if (!shards.empty()) return out;
  if (const auto whole = listed("model.safetensors"); whole != files.end())
    return std::vector{*whole};
  std::vector<std::string_view> others;
  for (const RemoteFile& file : files) {
    if (file.path.contains('/')) continue;
    if (file.path.ends_with(".safetensors") && !is_other_format(file.path)) out.push_back(file);
    for (const std::string_view ending : {".bin", ".pth", ".gguf", ".safetensors"}) {
      if (file.path.ends_with(ending) && others.size() < 3) others.push_back(file.path);
    }
  }
  if (!out.empty()) return out;
  return not_found(
      fmt::format("it has no safetensors weights ({})",
                  others.empty() ? "nor others" : fmt::format("only {}", fmt::join(others, ", "))));
}

}  // namespace baton::hub
