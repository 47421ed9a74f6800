// Picker configurations: what loads can schedule.

#include <array>
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
  const std::array<schedule::Header, 4> headers = {{{"x-session-id", "s"},
                                                    {"x-session-token", "bGxtL2Q="},
                                                    {"cookie", "sid=s; a"},
                                                    {"x", text}}};
  const schedule::Request request{.prompt_bytes = 1000, .headers = headers};
  auto decision = scheduler->schedule(request, snapshot, Mono(), random);
  if (!decision) return 0;
  if (decision->primary >= snapshot.size()) std::abort();
  scheduler->routed(request, snapshot, Mono(), random, *decision);
  for (const auto& report : scheduler->setup().reports) {
    (void)schedule::reported(report, {.prompt = 9, .completion = 4, .total = {}, .cached = 0});
  }
  return 0;
}
