// What a server that predicts latency answers. Whatever it is: an error, or finite numbers for
// every row.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "routing/schedule/latency.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t rows = data[0] % 4;
  const std::string_view json(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto made = baton::schedule::read_predictions(json, rows);
  if (!made) return 0;
  if (made->size() != rows) std::abort();
  for (const auto& one : *made) {
    if (!std::isfinite(one.ttft_ms) || !std::isfinite(one.tpot_ms)) std::abort();
  }
  return 0;
}
