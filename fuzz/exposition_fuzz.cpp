// What an engine answers, metrics or a list of models: whatever comes, reading ends and makes
// sense.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/observe/exposition.hpp"
#include "routing/watch/model_list.hpp"
#include "routing/watch/scrape.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  baton::observe::ExpositionReader reader(text);
  std::size_t samples = 0;
  while (const auto sample = reader.next()) {
    ++samples;
    if (sample->name.empty()) std::abort();
    baton::observe::label(sample->labels, "engine");
  }
  if (samples + reader.malformed() > size) std::abort();
  for (const auto& engine : baton::schedule::built_in_engines()) {
    (void)baton::watch::read_metrics(text, engine);
  }
  const auto scraped =
      baton::watch::read_metrics(text, baton::schedule::built_in_engines().front());
  if (scraped.waiting && !(*scraped.waiting >= 0)) std::abort();
  const auto models = baton::watch::read_model_list(text);
  if (models && models->size() > baton::watch::kMostModels) std::abort();
  return 0;
}
