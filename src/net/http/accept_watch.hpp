#pragma once
// Tells of connections that wait since none is accepted: counted each time, one log line for each
// time that it lasts. Internal to net.

#include <cstddef>
#include <string>
#include <string_view>

#include "base/async/asio.hpp"
#include "base/observe/metrics.hpp"

namespace baton::http {

// Confined to the loop that accepts. Counts in baton_connections_held_total, by server and reason:
// files (no descriptor left), memory, limit (of connections), other.
class AcceptWatch {
 public:
  // `registry`: null counts nothing; outlives this.
  AcceptWatch(observe::Registry* registry, std::string_view server)
      : registry_(registry), server_(server) {}

  // An accept failed; `open` connections are.
  void failed(const boost::system::error_code& why, std::size_t open);
  // None is tried: as many as may be are open.
  void full(std::size_t limit);
  // One was accepted; `open` of at most `limit` are.
  void accepted(std::size_t open, std::size_t limit);

 private:
  void count(std::string_view reason);

  observe::Registry* registry_;
  std::string server_;
  bool starved_ = false;  // the last accept failed, and that was told
  bool full_ = false;     // told, and since then not much fewer were open
};

}  // namespace baton::http
