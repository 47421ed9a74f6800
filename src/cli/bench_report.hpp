#pragma once
// What a run of `bench` measured, with the definitions of vLLM's bench:
//   TTFT  from sending to the first chunk of the answer
//   TPOT  (last chunk - first chunk) / (tokens - 1), one value a request
//   ITL   between one chunk and the next, over all requests
//   E2E   from sending to the last chunk
// Chunks with choices count, except the one that only tells the role. Percentiles interpolate.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/text/json.hpp"

namespace baton::cli {

struct Outcome {
  std::string failure = "not sent";  // a short kind, as "HTTP 503"; "" when all was as asked
  std::string detail;                // of a failure
  std::optional<Nanos> first;        // from sending
  Nanos last{};
  std::vector<Nanos> gaps;  // between chunks
  std::size_t prompt = 0, completion = 0;
  bool prefilled = false;  // on a prefill pod
  // Where the KV of the prompt came from; absent when the server does not tell.
  std::optional<std::uint64_t> remote, cached, computed;
};

// Of sorted values; `share` in [0, 1].
double percentile(const std::vector<double>& sorted, double share);

struct Spread {
  std::size_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0;
};
Spread spread(std::vector<double> values);

// Only requests that were answered as asked count in anything but `failures`.
struct Report {
  std::size_t requests = 0, completed = 0;
  std::map<std::string, std::size_t> failures;
  std::map<std::string, std::string> details;  // the first of each kind
  double seconds = 0;                          // from the start to the end of the last answer
  std::uint64_t prompt_tokens = 0, output_tokens = 0;
  Spread ttft, tpot, itl, e2e;  // ms
  // From proof headers.
  std::size_t told = 0, prefilled = 0;
  std::uint64_t remote = 0, cached = 0, computed = 0;  // tokens
};
Report summarize(const std::vector<Outcome>& outcomes, Nanos took);

std::string report_text(const Report& report);
text::json::Value report_json(const Report& report);

}  // namespace baton::cli
