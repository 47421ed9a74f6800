#pragma once
// What a hub says about a model, and which of its files are needed. Pure: bytes in, values out.
// The API: GET /api/models/REPO/revision/REV and /api/models/REPO/tree/COMMIT?recursive=true, as
// huggingface_hub 1.0 (hf_api.py: model_info, list_repo_tree) reads them.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "net/hub/digest.hpp"

namespace baton::hub {

inline constexpr std::size_t kMaxAnswer = 8 << 20;  // bytes of one answer of the API
inline constexpr std::size_t kMaxPages = 64;        // of one listing
inline constexpr std::size_t kMaxFiles = 20'000;    // of one model
inline constexpr std::size_t kMaxPath = 512;        // bytes of a file's path
inline constexpr std::uint64_t kMaxSmallFile = std::uint64_t{128} << 20;  // tokenizers: 40 MB
inline constexpr std::uint64_t kMaxWeights = std::uint64_t{1} << 40;      // one file

struct RemoteFile {
  std::string path;  // no part of it is "", "." or ".."
  std::uint64_t size = 0;
  DigestKind kind = DigestKind::kGitBlob;
  std::string digest;  // lower-case hexadecimal; also the blob's name in the cache

  friend bool operator==(const RemoteFile&, const RemoteFile&) = default;
};

// The commit that a revision means. kInvalid: not an answer of a hub.
Result<std::string> read_commit(std::string_view body);

// Appends the files of one page. kInvalid: not such an answer; a path that would leave its folder;
// over a bound.
Status read_tree(std::string_view body, std::vector<RemoteFile>& files);

// Configuration, tokenizer, chat template and the index of shards, if there is one: at the root,
// in the order of the listing. kNotFound without config.json. kInvalid: one over kMaxSmallFile.
Result<std::vector<RemoteFile>> small_files(const std::vector<RemoteFile>& files);

// The shards that model.safetensors.index.json names, each once.
Result<std::vector<std::string>> read_index(std::string_view body);

// Whether weights of this name are not for us: consolidated, adapter.
bool is_other_format(std::string_view name);

// The weights: the index's shards, else model.safetensors, else every *.safetensors of the root
// that is not of another format. kNotFound: none; a shard that is missing.
Result<std::vector<RemoteFile>> weight_files(const std::vector<RemoteFile>& files,
                                             const std::vector<std::string>& shards);

inline constexpr std::string_view kIndexFile = "model.safetensors.index.json";

}  // namespace baton::hub
