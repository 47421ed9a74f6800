// Any bytes as a safetensors file: a table of tensors that lie inside it, or an error.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "engine/model/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto table = baton::model::parse_tensor_table(bytes, bytes.size());
  if (!table) return 0;
  for (const auto& tensor : *table) {
    if (tensor.begin > tensor.end || tensor.end > size) std::abort();
  }
  return 0;
}
