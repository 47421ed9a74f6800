// PEM text: reading ends in a chain or an error; a certificate covers the names it has.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/tls/certificate.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view pem(reinterpret_cast<const char*>(data), size);
  const auto chain = baton::tls::read_certificates(pem);
  if (chain) {
    if (chain->empty()) std::abort();
    for (const auto& one : *chain) {
      if (!one.covers(one.dns, one.ips)) std::abort();
    }
  }
  if (baton::tls::check_pair(pem, pem, {}) && !chain) std::abort();
  return 0;
}
