#pragma once
// What `bench` measured as one HTML page with plots: no scripts, nothing from elsewhere. Pure.

#include <string>
#include <vector>

#include "cli/bench_report.hpp"

namespace baton::cli {

struct BenchPoint {
  std::string name;  // "4 requests/s"
  double load = 0;   // for the axis: requests a second, or how fast a trace is replayed; 0: at once
  Report report = {};
  std::vector<Outcome> outcomes = {};
};

// `about`: the command and its target, one line. With several points the percentiles and the
// goodput are drawn over the load; the distributions are those of every point.
std::string bench_page(const std::vector<BenchPoint>& points, const Limits& limits,
                       const std::string& about);

}  // namespace baton::cli
