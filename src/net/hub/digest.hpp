#pragma once
// What a file's bytes hash to, as hubs name files: SHA-256 for large files (Git LFS), Git's own
// SHA-1 over "blob <size>\0" and the bytes for the others.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // OpenSSL's

namespace baton::hub {

enum class DigestKind : std::uint8_t { kSha256, kGitBlob };

// Confined to one thread.
class Digest {
 public:
  Digest(DigestKind kind, std::uint64_t file_bytes);
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(std::string_view bytes);
  // Lower-case hexadecimal. Only once.
  std::string finish();

 private:
  evp_md_ctx_st* context_;
};

}  // namespace baton::hub
