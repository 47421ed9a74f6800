#include <cstdint>
#include <cstdlib>

#include "cli/bench_load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto asks = baton::cli::trace_load({reinterpret_cast<const char*>(data), size}, {});
  if (!asks) return 0;
  baton::Nanos last{};
  for (const auto& ask : *asks) {
    if (ask.at < last || ask.output == 0) std::abort();
    last = ask.at;
  }
  return 0;
}
