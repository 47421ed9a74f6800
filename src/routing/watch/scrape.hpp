#pragma once
// What an engine's metrics text says about its load (picker reference 5.3, vllm names).

#include <memory>
#include <optional>
#include <string_view>

#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

struct Scraped {
  std::optional<float> waiting, running, kv_usage;
  std::optional<std::uint32_t> block_size, blocks;  // of cache_config_info
  // Of lora_requests_info: the sample with the greatest value, which is its time. Null without.
  std::shared_ptr<const schedule::Adapters> adapters = {};

  bool any() const { return waiting || running || kv_usage; }
};

// Sums the engines of one server (data parallel ranks); usage is the largest. Allocates
// for adapters only.
Scraped read_metrics(std::string_view exposition);

}  // namespace baton::watch
