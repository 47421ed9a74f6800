#include "net/hub/digest.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "base/core/assert.hpp"

namespace baton::hub {

Digest::Digest(DigestKind kind, std::uint64_t file_bytes) : context_(EVP_MD_CTX_new()) {
  const auto* algorithm = kind == DigestKind::kSha256 ? EVP_sha256() : EVP_sha1();
  BATON_ASSERT(context_ != nullptr && EVP_DigestInit_ex(context_, algorithm, nullptr) == 1);
  if (kind == DigestKind::kSha256) return;
  add(fmt::format("blob {}", file_bytes));
  add(std::string_view("\0", 1));
}

Digest::~Digest() { EVP_MD_CTX_free(context_); }

void Digest::add(std::string_view bytes) { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }

std::string Digest::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context_, bytes.data(), &size);
  std::string out;
  for (unsigned i = 0; i < size; ++i) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

}  // namespace baton::hub
