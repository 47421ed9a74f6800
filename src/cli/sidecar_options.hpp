#pragma once
// The flags of `baton sidecar`: llm-d's, of both its generations, and ours.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/log.hpp"
#include "routing/sidecar/sidecar.hpp"

namespace baton::cli {

struct SidecarOptions {
  sidecar::Config config;
  http::Endpoint listen;
  std::optional<http::Endpoint> metrics;
  log::Level log_level = log::Level::kInfo;
  std::optional<log::Style> log_style;  // unset: by the terminal
};

using Environment = std::function<std::optional<std::string>(const char*)>;

// Arguments without the program's name. kInvalid: a wrong value; kUnsupported: a flag that means
// something Baton does not do yet. nullopt after --help, which is printed.
Result<std::optional<SidecarOptions>> parse_sidecar(std::vector<std::string> arguments,
                                                    const Environment& environment);

}  // namespace baton::cli
