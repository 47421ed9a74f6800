#include "engine/model/safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>
#include <set>

#include "base/text/json.hpp"

namespace baton::model {

namespace json = text::json;

namespace {

constexpr std::size_t kPrefix = 8;

std::optional<std::uint64_t> dtype_bytes(std::string_view dtype) {
  constexpr std::pair<std::string_view, std::uint64_t> kTypes[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
      {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
      {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8}};
  for (const auto& [name, bytes] : kTypes) {
    if (name == dtype) return bytes;
  }
  return std::nullopt;
}

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// The product, or nullopt when it does not fit.
std::optional<std::uint64_t> length_of(const std::vector<std::uint64_t>& shape,
                                       std::uint64_t element) {
  std::uint64_t bytes = element;
  for (const std::uint64_t size : shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) return std::nullopt;
  }
  return bytes;
}

Result<std::vector<std::uint64_t>> numbers(const json::Value* value, std::string_view what,
                                           std::size_t most) {
  const json::Array* array = value == nullptr ? nullptr : value->if_array();
  if (array == nullptr) return invalid(fmt::format("{} is not an array", what));
  if (array->size() > most) {
    return invalid(fmt::format("{} has {} numbers; at most {}", what, array->size(), most));
  }
  std::vector<std::uint64_t> out;
  for (const json::Value& element : *array) {
    const auto number = element.if_uint();
    if (!number) return invalid(fmt::format("{} holds something else than sizes", what));
    out.push_back(*number);
  }
  return out;
}

// `data` is where the file's data begins.
Result<TensorInfo> parse_tensor(const json::Member& member, std::uint64_t data,
                                std::uint64_t file_size) {
  const json::Value& entry = member.value;
  if (!entry.is_object()) return invalid("is not described by an object");
  TensorInfo info;
  info.name = member.key;
  info.dtype = entry.string_at({"dtype"});
  const auto element = dtype_bytes(info.dtype);
  if (!element) return invalid(fmt::format("has the unknown dtype '{}'", info.dtype));
  BATON_TRY_ASSIGN(info.shape, numbers(entry.find("shape"), "shape", kMaxDimensions));
  BATON_TRY_ASSIGN(const auto offsets, numbers(entry.find("data_offsets"), "data_offsets", 2));
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    return invalid("data_offsets is not [begin, end]");
  }
  if (offsets[1] > file_size - data) {
    return invalid(
        fmt::format("ends at byte {} of the data, but the file holds {}: is it truncated?",
                    offsets[1], file_size - data));
  }
  const auto length = length_of(info.shape, *element);
  if (!length || *length != offsets[1] - offsets[0]) {
    return invalid(fmt::format("is {} {}, but its data is {} bytes", info.dtype,
                               shape_text(info.shape), offsets[1] - offsets[0]));
  }
  info.begin = data + offsets[0];
  info.end = data + offsets[1];
  return info;
}

Status check_layout(const std::vector<TensorInfo>& tensors, std::uint64_t data,
                    std::uint64_t file_size) {
  std::uint64_t reached = data;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.begin < reached) {
      return invalid(fmt::format("tensor '{}' overlaps the one before it", tensor.name));
    }
    if (tensor.begin > reached) {
      return invalid(
          fmt::format("{} unused bytes before tensor '{}'", tensor.begin - reached, tensor.name));
    }
    reached = tensor.end;
  }
  if (reached != file_size) {
    return invalid(fmt::format("{} unused bytes after the last tensor", file_size - reached));
  }
  return {};
}

}  // namespace

Result<std::vector<TensorInfo>> parse_tensor_table(std::span<const std::byte> head,
                                                   std::uint64_t file_size) {
  if (head.size() < kPrefix) {
    return invalid(fmt::format("{} bytes are too few for a safetensors header", head.size()));
  }
  std::uint64_t length = 0;
  for (std::size_t i = kPrefix; i-- > 0;) {
    length = (length << 8) | std::to_integer<std::uint64_t>(head[i]);
  }
  if (length > kMaxHeaderBytes) {
    return invalid(fmt::format("header of {} bytes; at most {}", length, kMaxHeaderBytes));
  }
  if (length > head.size() - kPrefix) {
    return invalid(
        fmt::format("header of {} bytes in a file of {}: is it truncated?", length, file_size));
  }
  const std::string_view text(reinterpret_cast<const char*>(head.data()) + kPrefix, length);
  BATON_TRY_ASSIGN(const json::Value header, json::parse(text, json::Duplicates::kReject));
  const json::Object* members = header.if_object();
  if (members == nullptr) return invalid("header is not a JSON object");
  const std::uint64_t data = kPrefix + length;
  std::vector<TensorInfo> tensors;
  tensors.reserve(members->size());
  for (const json::Member& member : *members) {
    if (member.key == "__metadata__") continue;
    BATON_TRY_ASSIGN(
        TensorInfo info,
        parse_tensor(member, data, file_size).with(fmt::format("tensor '{}'", member.key)));
    tensors.push_back(std::move(info));
  }
  std::ranges::sort(tensors, [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  BATON_TRY(check_layout(tensors, data, file_size));
  return tensors;
}

Result<std::unique_ptr<MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int error = errno;
    std::string message = fmt::format("{}: {}", path.string(), std::strerror(error));
    return error == ENOENT ? not_found(std::move(message)) : invalid(std::move(message));
  }
  struct stat status{};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    return invalid(fmt::format("{}: not a regular file", path.string()));
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* memory = size == 0 ? nullptr : mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) {
    return unavailable(fmt::format("{}: cannot map it: {}", path.string(), std::strerror(errno)));
  }
  return std::unique_ptr<MappedFile>(new MappedFile({static_cast<const std::byte*>(memory), size}));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::forget(std::span<const std::byte> part) const {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const auto offset = static_cast<std::size_t>(part.data() - bytes_.data());
  const std::size_t begin = (offset + page - 1) / page * page;
  const std::size_t end = (offset + part.size()) / page * page;
  if (begin < end) {
    madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, MADV_DONTNEED);
  }
}

Status Checkpoint::add(const std::filesystem::path& path) {
  BATON_TRY_ASSIGN(auto file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file->bytes();
  BATON_TRY_ASSIGN(auto table, parse_tensor_table(bytes, bytes.size()).with(path.string()));
  for (TensorInfo& info : table) {
    const auto data = bytes.subspan(info.begin, info.end - info.begin);
    std::string name = info.name;
    const auto [at, added] = tensors_.try_emplace(
        std::move(name), Tensor{std::move(info), path.filename().string(), data, file.get()});
    if (!added) {
      return invalid(fmt::format("tensor '{}' is in both {} and {}", at->first, at->second.file,
                                 path.filename().string()));
    }
  }
  files_.push_back(std::move(file));
  return {};
}

Status Checkpoint::open_shards(const std::filesystem::path& folder, std::string_view index) {
  if (index.size() > kMaxIndexBytes) {
    return invalid(fmt::format("{} bytes; at most {}", index.size(), kMaxIndexBytes));
  }
  BATON_TRY_ASSIGN(const json::Value value, json::parse(index, json::Duplicates::kReject));
  const json::Value* map = value.find("weight_map");
  const json::Object* members = map == nullptr ? nullptr : map->if_object();
  if (members == nullptr) return invalid("no object 'weight_map'");
  std::set<std::string> names;
  for (const auto& [tensor, shard] : *members) {
    const std::string* name = shard.if_string();
    if (name == nullptr || name->empty() || *name == "." || *name == ".." ||
        name->find('/') != std::string::npos || name->find('\0') != std::string::npos) {
      return invalid(fmt::format("weight_map gives no file name for tensor '{}'", tensor));
    }
    names.insert(*name);
  }
  for (const std::string& name : names) {
    BATON_TRY(add(folder / name));
  }
  for (const auto& [tensor, shard] : *members) {
    const Tensor* found = find(tensor);
    if (found == nullptr || found->file != *shard.if_string()) {
      return invalid(fmt::format("tensor '{}' is not in {}", tensor, *shard.if_string()));
    }
  }
  return {};
}

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& folder) {
  Checkpoint checkpoint;
  const std::filesystem::path single = folder / "model.safetensors";
  const std::filesystem::path index = folder / "model.safetensors.index.json";
  std::error_code ignored;
  if (std::filesystem::exists(single, ignored)) {
    BATON_TRY(checkpoint.add(single));
    return checkpoint;
  }
  if (!std::filesystem::exists(index, ignored)) {
    return not_found(fmt::format(
        "{} has neither model.safetensors nor model.safetensors.index.json", folder.string()));
  }
  BATON_TRY_ASSIGN(const auto file, MappedFile::open(index));
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  BATON_TRY(checkpoint.open_shards(folder, text).with(index.string()));
  return checkpoint;
}

const Checkpoint::Tensor* Checkpoint::find(std::string_view name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

}  // namespace baton::model
