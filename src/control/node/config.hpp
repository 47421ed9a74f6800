#pragma once
// What `serve` decides for the node agent.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"
#include "control/node/addresses.hpp"
#include "net/hub/settings.hpp"

namespace baton::node {

enum class Engine : std::uint8_t { kBaton, kVllm };
enum class AllowExec : bool { kNo, kYes };
// Whether sidecars serve TLS where their manifest says so; off: whoever dials them here speaks
// none.
enum class PodTls : bool { kOff, kAsPlanned };
// How a container sees its mount paths.
enum class Mounts : std::uint8_t {
  kAuto,       // a mount namespace; for a pod where that does not work, rewriting
  kNamespace,  // a mount namespace, or the container does not start
  kRewrite,    // folders of this machine, named in command, args and environment
};

struct Config {
  std::string state_dir;                 // absolute
  std::string baton;                     // this program's binary
  std::string path;                      // PATH that other programs are looked up in
  std::vector<std::string> models_dirs;  // for baton://NAME, first hit wins
  std::vector<std::string> model_dirs;   // --model-dir: for hf://ORG/NAME
  hub::Settings hub;                     // for hf://ORG/NAME: the cache, and where to get it from
  std::vector<std::string> pull_environment;  // "NAME=value" of programs that download
  std::string stand_in;                       // model that replaces every other; "" for none
  Engine engine = Engine::kBaton;
  AllowExec allow_exec = AllowExec::kNo;
  PodTls pod_tls = PodTls::kOff;
  Mounts mounts = Mounts::kRewrite;
  // Whether a `bash -c` text is one of the presets this binary ships (their values filled in).
  std::function<bool(std::string_view)> is_shipped_script = [](std::string_view) { return false; };
  int gpus = 0;  // nvidia.com/gpu of this machine
  // OTEL_… variables for containers that do not set them; with any, sidecars are told to trace.
  std::vector<std::pair<std::string, std::string>> tracing;
  std::string node_name = "baton";
  std::string node_address = "127.0.0.1";  // where pods find this machine: their host IP
  AddressRange pod_addresses;
  // Beside a real API server (`baton node`); "" and 0 without one. Containers are told.
  std::string api_host;
  std::uint16_t api_port = 0;
  // Pods with the picker's component label start no process: a gateway does their work.
  bool hosts_picker = false;

  // How long at least a preStop that sleeps goes on in an idle container: what routes elsewhere may
  // take as long to learn that the pod goes.
  Nanos pre_stop_least{};
  Nanos restart_base = std::chrono::seconds(1);  // doubles per crash
  Nanos restart_max = std::chrono::minutes(5);
  Nanos restart_reset = std::chrono::minutes(10);  // a run this long clears the count
  std::int64_t log_bytes = 10 << 20;               // per container; one older file is kept

  bool emulates_accelerators() const { return !stand_in.empty(); }
};

}  // namespace baton::node
