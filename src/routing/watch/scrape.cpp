#include "routing/watch/scrape.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/observe/exposition.hpp"

namespace baton::watch {
namespace {

std::optional<std::uint32_t> number_label(std::string_view labels, std::string_view key) {
  const auto text = observe::label(labels, key);
  if (!text) return std::nullopt;
  std::uint32_t number = 0;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (ec != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return number;
}

void add(std::optional<float>& sum, double value) {
  sum = sum.value_or(0) + static_cast<float>(value);
}

}  // namespace

Scraped read_metrics(std::string_view exposition) {
  Scraped out;
  observe::ExpositionReader reader(exposition);
  while (const auto sample = reader.next()) {
    // Most lines are histogram buckets of other families.
    if (!sample->name.starts_with("vllm:")) continue;
    const auto name = sample->name.substr(5);
    const bool countable = std::isfinite(sample->value) && sample->value >= 0;
    if (name == "cache_config_info") {
      out.block_size = number_label(sample->labels, "block_size");
      out.blocks = number_label(sample->labels, "num_gpu_blocks");
    } else if (!countable) {
      continue;
    } else if (name == "num_requests_waiting") {
      add(out.waiting, sample->value);
    } else if (name == "num_requests_running") {
      add(out.running, sample->value);
    } else if (name == "kv_cache_usage_perc") {
      out.kv_usage = std::max(out.kv_usage.value_or(0), static_cast<float>(sample->value));
    }
  }
  return out;
}

}  // namespace baton::watch
