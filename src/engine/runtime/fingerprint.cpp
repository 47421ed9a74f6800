#define XXH_STATIC_LINKING_ONLY  // for a hash state on the stack
#include "engine/runtime/fingerprint.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace baton::runtime {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kChunk = std::size_t{1} << 20;

Result<std::vector<fs::path>> files_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  if (error) return not_found(fmt::format("model folder {}: {}", folder.string(), error.message()));
  if (files.empty())
    return not_found(fmt::format("model folder {}: no *.safetensors file", folder.string()));
  std::ranges::sort(files);
  files.push_back(folder / "config.json");
  return files;
}

}  // namespace

Result<kv::Digest> fingerprint_model(const fs::path& folder, model::Quantization quantization) {
  BATON_TRY_ASSIGN(const auto files, files_of(folder));
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  std::vector<char> chunk(kChunk);
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    if (!in) return not_found(fmt::format("{} cannot be opened", file.string()));
    std::uint64_t size = 0;
    while (in.read(chunk.data(), kChunk) || in.gcount() > 0) {
      const auto got = static_cast<std::size_t>(in.gcount());
      XXH3_128bits_update(&state, chunk.data(), got);
      size += got;
    }
    if (in.bad()) return unavailable(fmt::format("{} cannot be read", file.string()));
    // Name and size delimit the contents.
    const std::string mark = fmt::format("\n{} {}\n", file.filename().string(), size);
    XXH3_128bits_update(&state, mark.data(), mark.size());
  }
  if (quantization == model::Quantization::kInt8) XXH3_128bits_update(&state, "int8\n", 5);
  const XXH128_hash_t hash = XXH3_128bits_digest(&state);
  return kv::Digest{hash.high64, hash.low64};
}

}  // namespace baton::runtime
