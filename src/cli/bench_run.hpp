#pragma once
// Sends a load and watches the answers. Blocking; its own loop.

#include <functional>
#include <string>
#include <vector>

#include "cli/bench_load.hpp"
#include "cli/bench_report.hpp"
#include "cli/server_api.hpp"

namespace baton::cli {

enum class BenchEndpoint : std::uint8_t { kCompletions, kChat };

struct BenchTarget {
  ServerUrl server;
  std::string api_key = {};
  std::string model = {};  // empty: the first that the server lists
  BenchEndpoint endpoint = BenchEndpoint::kCompletions;
  Nanos timeout = std::chrono::minutes(10);  // of one request
};

struct BenchRun {
  WordCost cost;
  std::vector<Outcome> outcomes;  // one for each Ask
  Nanos took{};
};

using Answered = std::function<void(std::size_t requests)>;

// Measures first what words cost in tokens, with two short requests that do not count. At most
// `concurrency` requests at a time; a request whose time has come then waits for its turn.
// Calls `answered`, on the loop, with how many have ended so far.
// Fails when the server lists no model or answers these two with an error.
Result<BenchRun> send_load(BenchTarget target, const std::vector<Ask>& asks,
                           std::size_t concurrency, const Clock& clock, Answered answered = {});

}  // namespace baton::cli
