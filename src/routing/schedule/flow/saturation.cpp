#include "routing/schedule/flow/saturation.hpp"

#include <algorithm>
#include <cmath>

namespace baton::schedule {
namespace {

// One endpoint's share of the pool's saturation.
double utilization(const Load& load, double queue_depth, double kv_usage) {
  return std::max(static_cast<double>(load.waiting) / queue_depth,
                  static_cast<double>(load.kv_usage) / kv_usage);
}

bool stale(const Load& load, Nanos after, Mono now) {
  return load.updated == Mono::min() || now - load.updated > after;
}

double share(const Detector& detector, const Snapshot& snapshot, std::size_t i, Mono now) {
  const double requests = snapshot.reserved(i) / detector.max_requests;
  const double tokens = static_cast<double>(snapshot.tokens(i)) / detector.max_tokens;
  switch (detector.mode) {
    case Detector::Mode::kUtilization:
      if (stale(snapshot.loads[i], detector.stale_after, now)) return 1;
      return utilization(snapshot.loads[i], detector.queue_depth, detector.kv_usage);
    case Detector::Mode::kRequests:
      return requests;
    case Detector::Mode::kTokens:
      return tokens;
    case Detector::Mode::kHybrid:
      return std::max(requests, tokens);
  }
  return 1;
}

struct Mean {
  double sum = 0;
  std::size_t count = 0;
  void add(double value) {
    sum += value;
    ++count;
  }
  double value(double without) const {
    return count == 0 ? without : sum / static_cast<double>(count);
  }
};

}  // namespace

Saturation measure(const Detector& detector, const Snapshot& snapshot, Mono now) {
  Saturation out;
  Mean prefill, decode;
  for (std::size_t i = 0; i < snapshot.size(); ++i) {
    const auto stages = snapshot.columns->stages[i];
    if ((stages & (kPrefills | kDecodes | kUnlabelled)) == 0) continue;
    ++out.endpoints;
    if (detector.mode == Detector::Mode::kUtilization &&
        stale(snapshot.loads[i], detector.stale_after, now)) {
      ++out.stale;
    }
    const double one = share(detector, snapshot, i, now);
    if ((stages & kPrefills) != 0) prefill.add(one);
    if ((stages & (kDecodes | kUnlabelled)) != 0) decode.add(one);
  }
  out.prefill = prefill.value(0);
  out.decode = decode.value(0);
  out.effective = out.endpoints == 0 ? 1 : std::max(out.prefill, out.decode);
  return out;
}

bool admits(std::int32_t priority, const Saturation& saturation) {
  return priority >= 0 || saturation.effective < 1;
}

bool admits(const ProbabilisticAdmitter& admitter, std::int32_t priority, const Snapshot& snapshot,
            Mono now, Random& random) {
  if (priority >= 0) return true;
  Mean mean;
  for (const auto& load : snapshot.loads) {
    const bool unknown = stale(load, kLoadStaleAfter, now);
    mean.add(unknown ? 1 : utilization(load, admitter.queue_depth, admitter.kv_usage));
  }
  const double saturation = mean.value(1);
  return random.unit() >= std::min(std::pow(saturation, admitter.power) * admitter.k, 1.0);
}

}  // namespace baton::schedule
