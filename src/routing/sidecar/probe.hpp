#pragma once
// What the sidecar counts.

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"
#include "routing/sidecar/request.hpp"
#include "routing/sidecar/transaction.hpp"

namespace baton::sidecar {

// Thread-safe. Label values come from closed sets.
class Probe {
 public:
  explicit Probe(observe::Registry& registry)
      : registry_(registry),
        prefill_seconds_(registry.histogram(
            "baton_sidecar_prefill_seconds", "Time from sending a prefill to its complete answer.",
            {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60})) {
    for (std::size_t i = 0; i < kApis; ++i) generations_[i] = &generations(static_cast<Api>(i));
    for (std::size_t i = 0; i < kOutcomes; ++i) {
      requests_[i] = &requests(name(static_cast<Outcome>(i)));
    }
  }

  void request_done(Outcome outcome) { requests_[std::to_underlying(outcome)]->add(); }
  void generation(Api api) { generations_[std::to_underlying(api)]->add(); }
  void request_passed_through() { passed_through_.add(); }
  void prefill_took(Nanos time) { prefill_seconds_.observe(seconds(time)); }
  // `reason`: prefill, no-kv, cut-off, decode, lease.
  void fell_back(std::string_view reason) {
    registry_
        .counter("baton_sidecar_fallbacks_total", "Prompts computed by the decode engine instead.",
                 {{"reason", std::string(reason)}})
        .add();
  }
  // `result`: answered, unusable, broken, cut_off, refused, lost, timeout, open (not tried).
  void prefill_attempted(std::string_view result) {
    registry_
        .counter("baton_sidecar_prefill_attempts_total",
                 "Prefill engines asked, or skipped because they kept failing.",
                 {{"result", std::string(result)}})
        .add();
  }
  // Prefilled again, since decode could not have pulled within the lease, may have begun to, or has
  // no room for a chunk of its answer. `reason`: lease, lost, chunk.
  void prefilled_again(std::string_view reason) {
    registry_
        .counter(
            "baton_sidecar_prefills_repeated_total",
            "Prefills whose KV was not used: too little of its lease was left, its handover may "
            "have been used, or decode had no room for a chunk.",
            {{"reason", std::string(reason)}})
        .add();
  }
  void fallback_denied() {
    registry_
        .counter("baton_sidecar_fallbacks_denied_total",
                 "Failed prefills that the decode engine had no budget to replace.")
        .add();
  }
  // `result`: open, refused, silent.
  void channel_asked(std::string_view result) {
    registry_
        .counter("baton_sidecar_side_channels_total",
                 "Connections opened to where prefill engines keep KV, to see whether it is there.",
                 {{"result", std::string(result)}})
        .add();
  }
  // `result`: alive, dead.
  void decoder_probed(std::string_view result) {
    registry_
        .counter("baton_sidecar_decoder_probes_total",
                 "Health checks of a decode engine that had failed a request.",
                 {{"result", std::string(result)}})
        .add();
  }
  // `result`: done, failed.
  void warmed_up(std::string_view result) {
    registry_
        .counter("baton_sidecar_warm_ups_total", "Throw-away prompts through a fresh pair.",
                 {{"result", std::string(result)}})
        .add();
  }
  // `verdict`: good, missing, malformed, forged, expired, replayed, full.
  void ticket_seen(std::string_view verdict) {
    registry_
        .counter("baton_sidecar_tickets_total", "Routing tickets by what they came to.",
                 {{"verdict", std::string(verdict)}})
        .add();
  }
  void passed_over_cold() {
    registry_
        .counter("baton_sidecar_cold_candidates_total",
                 "Requests with a prefill candidate that was not warm yet.")
        .add();
  }
  // By the counters of engines that do not report single requests.
  void transfer_proved(std::uint64_t expected, std::uint64_t pulled) {
    registry_
        .counter("baton_sidecar_transfer_expected_tokens_total",
                 "Prompt tokens handed over in requests whose transfer was measured.")
        .add(static_cast<double>(expected));
    registry_
        .counter("baton_sidecar_transfer_pulled_tokens_total",
                 "Prompt tokens that the decode engine pulled in them.")
        .add(static_cast<double>(pulled));
  }
  void passed_over_unproved() {
    registry_
        .counter("baton_sidecar_withdrawn_pairs_total",
                 "Prefill candidates left out since their transfers failed their proof.")
        .add();
  }
  // `result`: answered, failed.
  void encoded(std::string_view result) {
    registry_
        .counter("baton_sidecar_encodes_total", "Images, videos and audios sent to encoders.",
                 {{"result", std::string(result)}})
        .add();
  }
  void chunk_decoded() {
    registry_.counter("baton_sidecar_decode_chunks_total", "Chunks of answers decoded in chunks.")
        .add();
  }
  // `reason`: allowlist, dead, header, json, media, params, rank, target, timeout.
  void refused(std::string_view reason) {
    registry_
        .counter("baton_sidecar_refusals_total", "Requests refused before any leg.",
                 {{"reason", std::string(reason)}})
        .add();
  }
  // `result`: released, ignored (the engine does not know the call), unreachable, unleased.
  void lease_abandoned(std::string_view result) {
    registry_
        .counter("baton_sidecar_abandoned_leases_total",
                 "Prefilled KV that no decode engine pulled, by what its release came to.",
                 {{"result", std::string(result)}})
        .add();
  }

 private:
  static constexpr std::size_t kApis = std::to_underlying(Api::kGenerate) + 1;
  static constexpr std::size_t kOutcomes = std::to_underlying(Outcome::kClientGone) + 1;

  observe::Counter& generations(Api api) {
    return registry_.counter("baton_sidecar_generations_total", "Requests of the generation APIs.",
                             {{"api", std::string(name(api))}});
  }
  observe::Counter& requests(std::string_view outcome) {
    return registry_.counter("baton_sidecar_requests_total", "Requests by outcome.",
                             {{"outcome", std::string(outcome)}});
  }

  observe::Registry& registry_;
  observe::Histogram& prefill_seconds_;
  // Of every request: looked up once.
  observe::Counter& passed_through_ = requests("pass_through");
  std::array<observe::Counter*, kApis> generations_{};
  std::array<observe::Counter*, kOutcomes> requests_{};
};

}  // namespace baton::sidecar
