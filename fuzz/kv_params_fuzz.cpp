// kv_transfer_params from anybody: what is accepted survives a round trip.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/kv/transfer_params.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace json = baton::text::json;
  const auto value = json::parse(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!value) return 0;
  const auto params = baton::kv::decode(*value);
  if (!params || !params->do_remote_prefill) return 0;
  const auto again = baton::kv::decode(baton::kv::encode(*params));
  if (!again || !(*again == *params)) std::abort();
  return 0;
}
