#pragma once
// What the OTEL_… variables ask for: where spans go, how, and which. Pure.
// Names, defaults and meanings:
// opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables and …/protocol/exporter.
// Empty counts as absent there.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/observe/span.hpp"
#include "net/http/message.hpp"

namespace baton::otlp {

enum class Protocol : std::uint8_t { kGrpc, kHttp };  // "grpc", "http/protobuf"

using Attributes = std::vector<std::pair<std::string, std::string>>;

struct Settings {
  Protocol protocol = Protocol::kGrpc;
  bool tls = false;
  http::Endpoint collector;
  std::string path;                                        // of HTTP
  http::Headers headers;                                   // with every export
  std::string authority_file, certificate_file, key_file;  // PEM; "": the system's, none, none
  Nanos timeout = std::chrono::seconds(10);                // of one export
  Nanos delay = std::chrono::seconds(5);                   // between exports
  std::size_t queue = 2048, batch = 512;                   // spans
  observe::Sampler sampler;
  Attributes resource;  // of the process; service.name among them
  std::vector<std::string> warnings;

  std::string url() const;
};

struct Defaults {
  std::string_view service;   // OTEL_SERVICE_NAME
  double ratio = 1;           // of a sampler without OTEL_TRACES_SAMPLER_ARG
  std::string endpoint = {};  // of a flag, which beats the variables; "": none
};

using Environment = std::function<std::optional<std::string>(const char*)>;

// nullopt: nothing is to be exported: no endpoint and no OTEL_TRACES_EXPORTER=otlp, or it is none,
// or OTEL_SDK_DISABLED. kInvalid, kUnsupported: names the variable, its value and what is expected.
Result<std::optional<Settings>> read_settings(const Environment& environment,
                                              const Defaults& defaults);

}  // namespace baton::otlp
