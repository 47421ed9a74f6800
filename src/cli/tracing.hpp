#pragma once
// Traces of a command, as the OTEL_… variables and its flags ask for them.

#include <memory>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "net/otlp/exporter.hpp"

namespace CLI {
class App;
}

namespace baton::cli {

inline constexpr double kPickerShare = 0.1;  // llm-d's ratio when none is given

// --otlp-traces-endpoint.
void add_tracing_flag(CLI::App& app, std::string& endpoint);

// Reads the environment. Null: nothing is to be exported. Everything named outlives it.
Result<std::unique_ptr<otlp::Tracing>> start_tracing(const otlp::Defaults& defaults,
                                                     const Clock& clock, Random& random,
                                                     observe::Registry& registry);

inline observe::Tracer* tracer_of(const std::unique_ptr<otlp::Tracing>& tracing) {
  return tracing == nullptr ? nullptr : &tracing->tracer();
}

// What pods of this machine get of it: the OTEL_… variables that are set here, but for what names
// this process; the endpoint of the flag. Empty when nothing is to be exported. kInvalid,
// kUnsupported: as otlp::read_settings.
Result<otlp::Attributes> tracing_of_pods(const otlp::Defaults& defaults);

}  // namespace baton::cli
