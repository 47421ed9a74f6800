#pragma once
// safetensors: [u64 header length, little-endian][JSON header][data].
// https://huggingface.co/docs/safetensors, format as of version 0.5.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::model {

inline constexpr std::size_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation
inline constexpr std::size_t kMaxDimensions = 8;
inline constexpr std::size_t kMaxIndexBytes = std::size_t{64} << 20;

struct TensorInfo {
  std::string name;
  std::string dtype;  // "BF16"
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  // of the file
  std::uint64_t end = 0;
};

// The tensors of a file, in order of their data. `head` is the file's beginning, at least the whole
// header; `file_size` the size of the file.
// kInvalid: a length over the limit or the file, malformed JSON, an unknown dtype, data that is
// out of range, overlaps, leaves a hole, or is not as long as dtype and shape say.
Result<std::vector<TensorInfo>> parse_tensor_table(std::span<const std::byte> head,
                                                   std::uint64_t file_size);

// A file mapped for reading.
class MappedFile {
 public:
  // kNotFound: no such file.
  static Result<std::unique_ptr<MappedFile>> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  // The pages may be dropped from memory; they are read again if used again.
  void forget(std::span<const std::byte> part) const;

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

// model.safetensors, or the shards that model.safetensors.index.json names.
class Checkpoint {
 public:
  struct Tensor {
    TensorInfo info;
    std::string file;  // its name, for messages
    std::span<const std::byte> data;
    const MappedFile* mapping = nullptr;
  };

  // kNotFound: which file is missing. kInvalid: a malformed file, named.
  static Result<Checkpoint> open(const std::filesystem::path& folder);

  const Tensor* find(std::string_view name) const;
  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }

 private:
  Status add(const std::filesystem::path& path);
  Status open_shards(const std::filesystem::path& folder, std::string_view index);

  std::vector<std::unique_ptr<MappedFile>> files_;
  std::map<std::string, Tensor, std::less<>> tensors_;
};

}  // namespace baton::model
