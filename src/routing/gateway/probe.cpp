#include "routing/gateway/probe.hpp"

#include <string>

namespace baton::gateway {
namespace {

std::vector<double> duration_bounds() {
  return {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
}

constexpr std::string_view kRemoved = "baton_gateway_removed_total";
constexpr std::string_view kRemovedHelp =
    "Routing instructions from clients that were removed: only the picker routes.";
constexpr std::string_view kDecisions = "baton_gateway_decisions_total";
constexpr std::string_view kDecisionsHelp = "Picks by the stages they take.";

}  // namespace

Probe::Probe(observe::Registry& registry)
    : registry_(registry),
      in_flight_(
          registry.gauge("baton_gateway_requests_in_flight", "Inference requests being answered.")),
      duration_(registry.histogram("baton_gateway_request_duration_seconds",
                                   "From the arrival of the head to the end of the answer.",
                                   duration_bounds())),
      first_byte_(registry.histogram("baton_gateway_first_byte_seconds",
                                     "From the arrival of the head to the upstream's answer.",
                                     duration_bounds())),
      pick_(registry.histogram("baton_gateway_pick_duration_seconds",
                               "Reading the prompt, hashing it and picking the pods.",
                               {1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2.5e-2})),
      gone_(registry.counter("baton_gateway_client_gone_total",
                             "Requests whose client left before the end of the answer.")),
      broken_(registry.counter("baton_gateway_broken_answers_total",
                               "Answers that ended before their end: the pod broke off or the "
                               "request's time was up.")),
      retries_(registry.counter("baton_gateway_retries_total",
                                "Second picks after a pod refused the connection.")),
      removed_headers_(registry.counter(kRemoved, kRemovedHelp, {{"what", "header"}})),
      removed_params_(registry.counter(kRemoved, kRemovedHelp, {{"what", "kv_transfer_params"}})),
      scrapes_(registry.counter("baton_gateway_scrapes_total", "Engine metrics read.")),
      prefill_decode_(
          registry.counter(kDecisions, kDecisionsHelp, {{"decision", "prefill-decode"}})),
      decode_only_(registry.counter(kDecisions, kDecisionsHelp, {{"decision", "decode-only"}})) {}

void Probe::answered(int status, Nanos duration) {
  registry_
      .counter("baton_gateway_requests_total", "Answers by status.",
               {{"code", std::to_string(status)}})
      .add();
  duration_.observe(seconds(duration));
}

void Probe::picked(Nanos duration) { pick_.observe(seconds(duration)); }

void Probe::decided(bool prefill) { (prefill ? prefill_decode_ : decode_only_).add(); }

}  // namespace baton::gateway
