// Policies of flow control, and admitters; what they decide is in schedule/flow (picker reference
// 4.5, 4.9).

#include <array>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr double kLargest = 1e12;

template <class T>
Plugin made(T service) {
  Plugin plugin;
  plugin.service = std::move(service);
  return plugin;
}

double positive(Fields& parameters, std::string_view key, double otherwise) {
  const double value = parameters.number(key, otherwise, -kLargest, kLargest);
  if (value <= 0) parameters.fail(key, "it must be above 0");
  return value;
}

Nanos seconds_of(Fields& parameters, std::string_view key, std::int64_t otherwise) {
  constexpr std::int64_t kYear = 365 * 86400;
  return std::chrono::seconds(parameters.integer(key, otherwise, 0, kYear));
}

}  // namespace

Plugin make_fcfs_ordering_policy(Fields&) { return made(Ordering::kFcfs); }
Plugin make_edf_ordering_policy(Fields&) { return made(Ordering::kEdf); }
Plugin make_slo_deadline_ordering_policy(Fields&) { return made(Ordering::kSloDeadline); }

Plugin make_global_strict_fairness_policy(Fields&) {
  return made(Fairness{.kind = Fairness::Kind::kGlobalStrict});
}
Plugin make_round_robin_fairness_policy(Fields&) {
  return made(Fairness{.kind = Fairness::Kind::kRoundRobin});
}

Plugin make_program_aware_fairness(Fields& parameters) {
  constexpr std::array<std::string_view, 1> kStrategies = {"las"};
  Fairness fairness{.kind = Fairness::Kind::kProgramAware};
  parameters.choice("strategy", "las", kStrategies);
  fairness.weight_service = parameters.number("lasWeightService", 0.8, 0, kLargest);
  fairness.weight_wait = parameters.number("lasWeightHeadWait", 0.2, 0, kLargest);
  fairness.half_life = seconds_of(parameters, "lasHalfLifeSeconds", 60);
  fairness.forget_after = seconds_of(parameters, "evictionTtlSeconds", 3600);
  parameters.unused("evictionSweepSeconds", "programs are forgotten as flows are swept");
  return made(fairness);
}

Plugin make_static_usage_limit_policy(Fields& parameters) {
  return made(UsageLimit{.threshold = parameters.number("threshold", 1, 0, 1)});
}

Plugin make_priority_holdback_policy(Fields& parameters) {
  constexpr std::array<std::string_view, 1> kShapes = {"linear"};
  constexpr std::array<std::string_view, 2> kDomains = {"rank", "value"};
  UsageLimit limit{.kind = UsageLimit::Kind::kHoldback};
  parameters.choice("shape", kShapes[0], kShapes);
  const bool by_value = parameters.choice("domain", kDomains[0], kDomains) == kDomains[1];
  if (by_value) limit.domain = UsageLimit::Domain::kValue;
  if (!parameters.has("minCeiling")) parameters.fail("minCeiling", "it has to be given, 0 to 1");
  limit.least = parameters.number("minCeiling", 0, 0, 1);
  limit.threshold = parameters.number("maxCeiling", 1, 0, 1);
  if (limit.least >= 1) parameters.fail("minCeiling", "it must be below 1");
  if (limit.least > limit.threshold) parameters.fail("minCeiling", "it is above maxCeiling");
  return made(limit);
}

Plugin make_soft_reflective_ceiling_policy(Fields&) {
  return made(UsageLimit{.kind = UsageLimit::Kind::kReflective});
}

Plugin make_eviction_policy(Fields&) { return made(EvictionPolicy{}); }

Plugin make_probabilistic_admitter(Fields& parameters) {
  ProbabilisticAdmitter admitter;
  admitter.queue_depth = positive(parameters, "queueDepthThreshold", admitter.queue_depth);
  admitter.kv_usage = positive(parameters, "kvCacheUtilThreshold", admitter.kv_usage);
  admitter.power = positive(parameters, "power", admitter.power);
  admitter.k = positive(parameters, "k", admitter.k);
  return made(admitter);
}

}  // namespace baton::schedule
