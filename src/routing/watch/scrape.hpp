#pragma once
// What an engine's metrics text says about its load (picker reference 5.3).

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "routing/schedule/engine_metrics.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

struct Scraped {
  std::optional<float> waiting, running, kv_usage;
  std::optional<std::uint32_t> block_size, blocks;  // of the KV cache
  std::size_t missing = 0;                          // metrics that the engine should have told
  // Of the adapters' family: the sample with the greatest value, which is its time. Null without.
  std::shared_ptr<const schedule::Adapters> adapters = {};
  std::shared_ptr<const schedule::Attributes> attributes = {};  // null: the engine has none

  bool any() const { return waiting || running || kv_usage || attributes != nullptr; }
};

// Sums the engines of one server (data parallel ranks); usage is the largest; of a custom metric
// the first sample counts. Allocates for adapters and custom metrics only.
Scraped read_metrics(std::string_view exposition, const schedule::EngineMetrics& engine);
// The engine of that name; else the one of the other name, which is there.
const schedule::EngineMetrics& engine_named(std::span<const schedule::EngineMetrics> engines,
                                            std::string_view name, std::string_view otherwise);

}  // namespace baton::watch
