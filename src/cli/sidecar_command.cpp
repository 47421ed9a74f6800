#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/sidecar_options.hpp"
#include "cli/stop_signal.hpp"

namespace baton::cli {

namespace {

constexpr Nanos kDrainTime = std::chrono::seconds(60);

std::optional<std::string> from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Status serve(const SidecarOptions& options, const StopSignal& stop) {
  SystemClock clock;
  SystemRandom random;
  observe::Registry registry;
  async::Loop loop("sidecar");
  sidecar::Sidecar sidecar(loop, clock, random, registry, options.config);
  BATON_TRY_ASSIGN(http::Endpoint at, sidecar.listen(options.listen));
  if (options.metrics) {
    BATON_TRY(sidecar.listen_metrics(*options.metrics));
  }
  loop.start();
  log::info("sidecar listens", {{"address", http::to_string(at)},
                                {"decoder", http::to_string(options.config.decoder)}});
  log::info("sidecar drains", {{"signal", stop.wait()}});
  sidecar.stop(Deadline::in(clock, kDrainTime));
  loop.stop();
  return {};
}

}  // namespace

int run_sidecar(int argc, char** argv) {
  auto options = parse_sidecar(std::vector<std::string>(argv + 1, argv + argc), from_environment);
  if (!options) return fail("sidecar", options.error());
  if (!*options) return 0;
  const SidecarOptions& o = **options;
  log::Style by_terminal = ::isatty(STDERR_FILENO) == 1 ? log::Style::kText : log::Style::kJson;
  log::configure(o.log_level, o.log_style.value_or(by_terminal), "sidecar");
  StopSignal stop;
  Status served = serve(o, stop);
  return served ? 0 : fail("sidecar", served.error());
}

}  // namespace baton::cli
