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

bool tells(const schedule::MetricSpec& spec, const observe::Sample& sample) {
  if (spec.family != sample.name) return false;
  return std::ranges::all_of(spec.labels, [&](const auto& wanted) {
    return observe::label(sample.labels, wanted.first) == wanted.second;
  });
}

std::optional<std::uint32_t> number(double value) {
  if (value > static_cast<double>(UINT32_MAX)) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

// The same metric may be a custom one too.
void take_custom(const observe::Sample& sample, const schedule::EngineMetrics& engine,
                 schedule::Attributes& into) {
  for (const auto& custom : engine.custom) {
    if (!tells(custom.spec, sample)) continue;
    if (!into.find(custom.attribute)) into.values.emplace_back(custom.attribute, sample.value);
  }
}

std::size_t count_missing(const Scraped& out, const schedule::EngineMetrics& engine) {
  const auto lacks = [](const schedule::MetricSpec& spec, bool told) {
    return !spec.empty() && !told ? std::size_t{1} : 0;
  };
  return lacks(engine.waiting, out.waiting.has_value()) +
         lacks(engine.running, out.running.has_value()) +
         lacks(engine.kv_usage, out.kv_usage.has_value()) + engine.custom.size() -
         (out.attributes == nullptr ? 0 : out.attributes->values.size());
}

}  // namespace

Scraped read_metrics(std::string_view exposition, const schedule::EngineMetrics& engine) {
  Scraped out;
  double adapters_at = 0;
  schedule::Attributes attributes;
  observe::ExpositionReader reader(exposition);
  while (const auto sample = reader.next()) {
    // Most lines are histogram buckets of other families.
    if (!sample->name.starts_with(engine.prefix)) continue;
    if (tells(engine.cache_info, *sample)) {
      out.block_size = number_label(sample->labels, engine.block_size_label);
      out.blocks = number_label(sample->labels, engine.blocks_label);
    }
    if (!std::isfinite(sample->value)) continue;
    if (!engine.custom.empty()) take_custom(*sample, engine, attributes);
    if (sample->value < 0) continue;
    if (tells(engine.waiting, *sample)) {
      add(out.waiting, sample->value);
    } else if (tells(engine.running, *sample)) {
      add(out.running, sample->value);
    } else if (tells(engine.kv_usage, *sample)) {
      out.kv_usage = std::max(out.kv_usage.value_or(0), static_cast<float>(sample->value));
    } else if (tells(engine.adapters, *sample)) {
      if (out.adapters != nullptr && sample->value <= adapters_at) continue;
      adapters_at = sample->value;
      out.adapters = adapters(sample->labels);
    } else if (tells(engine.block_size, *sample)) {
      out.block_size = number(sample->value);
    } else if (tells(engine.blocks, *sample)) {
      out.blocks = number(sample->value);
    }
  }
  if (!attributes.values.empty()) {
    out.attributes = std::make_shared<schedule::Attributes>(std::move(attributes));
  }
  out.missing = count_missing(out, engine);
  return out;
}

const schedule::EngineMetrics& engine_named(std::span<const schedule::EngineMetrics> engines,
                                            std::string_view name, std::string_view otherwise) {
  const auto find = [&](std::string_view wanted) {
    return std::ranges::find(engines, wanted, &schedule::EngineMetrics::name);
  };
  const auto found = find(name);
  return found == engines.end() ? *find(otherwise) : *found;
}

}  // namespace baton::watch
