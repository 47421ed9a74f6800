// Compressed gRPC messages: expanding one ends within its limit, in the message or an error, and a
// broken one leaves nothing behind for the next.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/grpc/gzip.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kLimit = 10'000;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  baton::grpc::Gunzip gunzip;
  const auto first = gunzip.expand(bytes, kLimit);
  if (first && first->size() > kLimit) std::abort();
  const auto text = first ? std::string(*first) : "";
  if (gunzip.expand("\x1f\x8b broken", kLimit)) std::abort();
  const auto again = gunzip.expand(bytes, kLimit);
  if (again.has_value() != first.has_value() || (again && *again != text)) std::abort();
  return 0;
}
