// Picker configurations: what loads can schedule.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/core/log.hpp"
#include "base/core/random.hpp"
#include "routing/schedule/scheduler.hpp"
#include "routing/schedule/testing/snapshots.hpp"
#include "routing/watch/endpoint_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace baton;
  log::configure(log::Level::kOff, log::Style::kText, "fuzz");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto endpoints = watch::load_endpoint_file(text, "f", std::nullopt, "");
  if (endpoints && endpoints->services.empty()) std::abort();
  const auto config = schedule::load_picker_config(text, "f");
  if (!config) return 0;
  const auto scheduler = schedule::Scheduler::make(*config);
  if (!scheduler) return 0;
  const auto snapshot = schedule::testing::snapshot({{"d", "decode"}, {"p", "prefill"}});
  SeededRandom random(1);
  const auto decision = scheduler->schedule({.prompt_bytes = 1000}, snapshot, Mono(), random);
  if (decision && decision->primary >= snapshot.size()) std::abort();
  return 0;
}
