#include "net/tls/hmac.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/core/assert.hpp"

namespace baton::tls {

Mac hmac_sha256(std::string_view key, std::string_view text) {
  Mac out{};
  unsigned int size = 0;
  const unsigned char* bytes = reinterpret_cast<const unsigned char*>(text.data());
  const auto* made = ::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes,
                            text.size(), out.data(), &size);
  BATON_ASSERT(made != nullptr && size == out.size());
  return out;
}

bool equal_in_constant_time(const Mac& a, const Mac& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace baton::tls
