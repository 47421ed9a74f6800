#pragma once
// What the flags of `baton sidecar` come to.

#include <optional>
#include <string>
#include <vector>

#include "base/core/log.hpp"
#include "cli/sidecar_flags.hpp"
#include "routing/sidecar/pool_members.hpp"
#include "routing/sidecar/sidecar.hpp"

namespace baton::cli {

// How one stage is dialled.
struct DialTls {
  bool on = false;
  bool verify = true;
  friend bool operator==(const DialTls&, const DialTls&) = default;
};

struct SidecarOptions {
  sidecar::Config config;
  http::Endpoint listen;
  std::optional<http::Endpoint> metrics;
  bool serve_tls = true;
  std::string cert_path;  // "": self-signed
  std::string ca_file;    // "": the system's authorities
  DialTls prefiller, decoder, encoder;
  std::optional<sidecar::PoolName> pool;  // whose pods alone may be dialled
  std::string kubeconfig;
  bool tracing = false;         // as the OTEL_… variables say
  std::string ticket_key_file;  // "": routes are not signed
  bool self_schedule = false;   // by `pool`, or
  std::string endpoints_file;   // by this
  std::optional<sidecar::PoolName> schedule_pool;
  log::Level log_level = log::Level::kInfo;
  std::optional<log::Style> log_style;  // unset: by the terminal
  std::optional<std::string> print;     // the settings, to be printed instead of running
  std::vector<std::string> without_effect;
};

// Arguments without the program's name. kInvalid: a wrong value; kUnsupported: a flag that means
// something Baton does not do. nullopt after --help, which is printed.
Result<std::optional<SidecarOptions>> parse_sidecar(std::vector<std::string> arguments,
                                                    const Environment& environment);

}  // namespace baton::cli
