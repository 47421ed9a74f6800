#pragma once
// What a relay benchmark runs: processes whose CPU time is read, between scripted engines and a
// load generator in this process.

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/async/loop.hpp"
#include "base/async/process.hpp"
#include "base/core/clock.hpp"
#include "net/http/server.hpp"

namespace baton::bench {

// A port that was free a moment ago.
std::uint16_t free_port();

// A process that listens on 127.0.0.1:port. Exits the benchmark when it does not come up. What it
// says goes to the file `output`, which is closed; -1: where ours goes.
class Listening {
 public:
  Listening(std::vector<std::string> argv, std::uint16_t port, std::vector<std::string> env = {},
            int output = -1);

  std::uint16_t port() const { return port_; }
  double cpu_seconds() const;  // of the whole process group
  double rss_mib() const;

 private:
  std::uint16_t port_;
  std::unique_ptr<async::Process> process_;
};

// A prefill and a decode engine that answer at once, or tokens at a pace. Each on its own thread.
class Engines {
 public:
  // `tls`: what both serve with; null: plain.
  explicit Engines(const Clock& clock, std::shared_ptr<const tls::ServerContext> tls = nullptr);
  ~Engines();

  std::uint16_t prefill_port() const { return prefill_port_; }
  std::uint16_t decode_port() const { return decode_port_; }
  // Between two tokens of a stream; 0: only a turn of the event loop.
  void set_gap(Nanos gap) { gap_ = gap; }
  // Since the last call: requests that the prefill engine took, and those that decode got with
  // the KV it handed over.
  struct Seen {
    std::uint64_t prefilled = 0;
    std::uint64_t handed_over = 0;
    std::uint64_t wrong = 0;  // not as a sidecar sends them
  };
  Seen take_seen();
  // The most streams that were open at once since the last call.
  std::size_t take_most_streams() { return most_streams_.exchange(0); }

 private:
  Task<void> prefill(http::Exchange& exchange);
  Task<void> decode(http::Exchange& exchange);
  Task<void> stream(http::Exchange& exchange);

  const Clock& clock_;
  std::atomic<Nanos> gap_ = Nanos{0};
  std::atomic<std::uint64_t> prefilled_ = 0, handed_over_ = 0, wrong_ = 0;
  std::size_t streams_ = 0;  // the decode loop's
  std::atomic<std::size_t> most_streams_ = 0;
  async::Loop prefill_loop_, decode_loop_;
  http::Server prefill_server_, decode_server_;
  std::uint16_t prefill_port_ = 0, decode_port_ = 0;
  std::string prefilled_body_;
};

inline constexpr int kTokens = 200;  // of a stream, about 200 bytes each

// What the decode engine sends, and what a client must get. `prefilled`: the sidecar has put the
// prefill engine's count of cached tokens into the usage.
std::string expected_answer(bool stream, bool prefilled);

}  // namespace baton::bench
