#pragma once
// The proxies that proxy_bench compares, each with its settings for one thread.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "relay_stack.hpp"

namespace baton::bench {

enum class Legs : bool { kPlain, kTls };  // towards the engines

struct EnginePorts {
  std::uint16_t prefill, decode;
};

struct Make {
  std::string name;
  bool makes_both_legs = false;  // a sidecar; else it only forwards to decode
  bool keeps_bytes = true;       // else bodies of both legs are written anew
  std::function<Listening(EnginePorts, Legs)> start;
};

// Ours first; then those whose programs HAPROXY, NGINX and PEER_SIDECAR name.
std::vector<Make> all_makes(const std::string& baton);
// The variables that name nothing.
std::vector<std::string> absent_makes();

}  // namespace baton::bench
