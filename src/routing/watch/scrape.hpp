#pragma once
// What an engine's metrics text says about its load (picker reference 5.3, vllm names).

#include <optional>
#include <string_view>

#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

struct Scraped {
  std::optional<float> waiting, running, kv_usage;
  std::optional<std::uint32_t> block_size, blocks;  // of cache_config_info

  bool any() const { return waiting || running || kv_usage; }
};

// Sums the engines of one server (data parallel ranks); usage is the largest. No allocation.
Scraped read_metrics(std::string_view exposition);

}  // namespace baton::watch
