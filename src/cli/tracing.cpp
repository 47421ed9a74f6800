#include "cli/tracing.hpp"
#include "cli/environment.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <string_view>

namespace baton::cli {
void add_tracing_flag(CLI::App& app, std::string& endpoint) {
  app.add_option(
      "--otlp-traces-endpoint", endpoint,
      "send spans to this collector, as http://HOST:4317; by gRPC unless "
      "$OTEL_EXPORTER_OTLP_PROTOCOL is http/protobuf. Default: as the OTEL_... variables "
      "say, nothing without them");
}

Result<std::unique_ptr<otlp::Tracing>> start_tracing(const otlp::Defaults& defaults,
                                                     const Clock& clock, Random& random,
                                                     observe::Registry& registry) {
  BATON_TRY_ASSIGN(auto settings, otlp::read_settings(from_environment, defaults));
  if (!settings) return std::unique_ptr<otlp::Tracing>();
  return otlp::Tracing::start(*std::move(settings),
                              {.clock = clock, .random = random, .registry = registry});
}

Result<otlp::Attributes> tracing_of_pods(const otlp::Defaults& defaults) {
  BATON_TRY_ASSIGN(const auto settings, otlp::read_settings(from_environment, defaults));
  otlp::Attributes out;
  if (!settings) return out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    const auto name = text.substr(0, equals);
    if (equals == std::string_view::npos || !name.starts_with("OTEL_")) continue;
    if (name == "OTEL_SERVICE_NAME") continue;
    out.emplace_back(name, text.substr(equals + 1));
  }
  if (!defaults.endpoint.empty()) {
    std::erase_if(
        out, [](const auto& each) { return each.first == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"; });
    out.emplace_back("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", defaults.endpoint);
  }
  return out;
}

}  // namespace baton::cli
