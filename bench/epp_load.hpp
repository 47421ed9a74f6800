#pragma once
// The proxies' side of an endpoint picker: requests over ext_proc, from a client in this process.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/core/clock.hpp"
#include "net/http/message.hpp"

namespace baton::bench {

struct LoadShape {
  std::size_t kb = 8;   // of a request's body; half of it is shared with other requests
  int streams = 32;     // requests at a time
  int connections = 2;  // with TLS
  int rate = 0;         // requests a second in all; 0: as fast as they go
  int chunks = 2;       // of an answer
};

// A request is headers, the body in pieces of 16 KB as Envoy cuts them, an answer's headers and its
// pieces, the last with usage.
enum class Sends : std::uint8_t {
  kRequests,  // to a picker: what comes back is checked
  kMessages,  // the same messages in the same order to a server that echoes them
  kBody,      // the bodies alone, to such a server
};

struct Figure {
  double cpu_us = 0;  // of the server, by request
  double per_second = 0;
  double split = 0;    // share of requests with a prefill pod
  double rss_mib = 0;  // of the server's process, under load
};

struct Server {
  http::Endpoint at;
  std::function<double()> cpu;                           // seconds so far
  std::function<double()> rss_mib = [] { return 0.0; };  // of its process, when it has its own
};

// Loads the server: a second to get warm, then for so many seconds. Exits the benchmark when
// something that comes back is wrong.
Figure load(const Server& server, const LoadShape& shape, Sends what, int seconds);

}  // namespace baton::bench
