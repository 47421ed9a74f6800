#pragma once
// Clients of a relay: chat requests over kept connections, every answer compared.

#include <map>
#include <string>
#include <vector>

#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "net/http/client.hpp"

namespace baton::bench {

struct Load {
  std::size_t prompt_bytes = 1 << 10;
  bool stream = false;
  bool fresh = true;      // a prompt that no pod has seen; else always the same
  bool prefilled = true;  // what the answer's usage must say
  std::size_t connections = 16;
  std::size_t requests = 1000;
  // Whether an answer may be written otherwise as long as it says the same: a relay that parses
  // bodies writes their members in another order.
  bool by_value = false;
  std::string prefiller = {};  // host:port in x-prefiller-host-port, as a picker names it; "": none
  double rate = 0;  // requests a second of all connections together; 0: one after the other
};

struct Outcome {
  double seconds = 0;
  std::vector<double> latencies;    // ms, of whole answers, sorted
  std::vector<double> first_bytes;  // ms, to the first piece of the body, sorted
  std::size_t wrong = 0;
  std::map<std::string, std::size_t> why;  // of those, by what was wrong
};

class Clients {
 public:
  explicit Clients(const Clock& clock);
  ~Clients();

  // Each request goes to the targets in turn, as legs: all but the last get the request as a
  // sidecar would send it to a prefill engine, and their answers are only read.
  Outcome run(const Load& load, const std::vector<std::uint16_t>& targets);

 private:
  struct Run;
  Task<void> work(Run& run, std::size_t index);
  Task<std::string> ask(Run& run);

  const Clock& clock_;
  std::uint64_t serial_ = 0;  // of fresh prompts
  async::Loop loop_;
  http::Client client_;
};

double percentile(const std::vector<double>& sorted, double share);

}  // namespace baton::bench
