#include "routing/watch/scrape.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

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

std::vector<std::string> names(std::optional<std::string_view> list) {
  std::vector<std::string> out;
  auto rest = list.value_or("");
  while (!rest.empty()) {
    const auto comma = std::min(rest.find(','), rest.size());
    auto name = rest.substr(0, comma);
    while (name.starts_with(' ')) name.remove_prefix(1);
    if (!name.empty()) out.emplace_back(name);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return out;
}

std::shared_ptr<const schedule::Adapters> adapters(std::string_view labels) {
  auto made = std::make_shared<schedule::Adapters>();
  made->active = names(observe::label(labels, "running_lora_adapters"));
  made->waiting = names(observe::label(labels, "waiting_lora_adapters"));
  made->most = number_label(labels, "max_lora").value_or(0);
  return made;
}

void add(std::optional<float>& sum, double value) {
  sum = sum.value_or(0) + static_cast<float>(value);
}

}  // namespace

Scraped read_metrics(std::string_view exposition) {
  Scraped out;
  double adapters_at = 0;
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
    } else if (name == "lora_requests_info") {
      if (out.adapters != nullptr && sample->value <= adapters_at) continue;
      adapters_at = sample->value;
      out.adapters = adapters(sample->labels);
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
