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
#include "base/core/result.hpp"
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

// What a request must keep to count as good, ms: the goodput of DistServe (Zhong et al., OSDI 2024)
// and of vLLM's --goodput.
struct Limits {
  std::optional<double> ttft, tpot, e2e;

  bool any() const { return ttft || tpot || e2e; }
};
// "ttft:500", "tpot:50", "e2e:3000" (also "e2el", as vLLM says); each once. kInvalid.
Result<Limits> parse_limits(const std::vector<std::string>& words);
std::string to_string(const Limits& limits);  // "ttft 500 ms, tpot 50 ms"

// Only requests that were answered as asked count in anything but `failures`.
struct Report {
  std::size_t requests = 0, completed = 0;
  std::map<std::string, std::size_t> failures;
  std::map<std::string, std::string> details;  // the first of each kind
  double seconds = 0;                          // from the start to the end of the last answer
  std::uint64_t prompt_tokens = 0, output_tokens = 0;
  Spread ttft, tpot, itl, e2e;  // ms
  Limits limits;
  std::size_t good = 0;  // within all limits
  // From proof headers.
  std::size_t told = 0, prefilled = 0;
  std::uint64_t remote = 0, cached = 0, computed = 0;  // tokens
};
Report summarize(const std::vector<Outcome>& outcomes, Nanos took, const Limits& limits = {});

std::string report_text(const Report& report);
text::json::Value report_json(const Report& report);

}  // namespace baton::cli
