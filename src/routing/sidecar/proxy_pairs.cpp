// What is done beside requests: asking a suspected decode engine, warming pairs, reading counters.

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/async/finish_by.hpp"
#include "base/core/log.hpp"
#include "base/text/json.hpp"
#include "routing/sidecar/proxy.hpp"
#include "routing/sidecar/proxy_call.hpp"
#include "routing/sidecar/relay.hpp"

namespace baton::sidecar {

namespace {

constexpr Nanos kWarmUpTimeout = std::chrono::seconds(60);  // seen with vLLM: 32 s
constexpr Nanos kReadyTimeout = std::chrono::seconds(2);
constexpr Nanos kCountersTimeout = std::chrono::seconds(1);
constexpr Nanos kWithdrawnFor = std::chrono::minutes(1);
constexpr std::size_t kMaxCounters = 4 << 20;  // bytes of a metrics text

}  // namespace

// Whether the engine answers its health check. One without such a path lives, too.
Task<bool> Proxy::engine_lives(http::Endpoint decoder, Nanos timeout) {
  http::RequestHead head{"GET", "/health", {}};
  Deadline deadline = Deadline::in(deps_.clock, timeout);
  auto answer = co_await decode_client_.send(decoder, head, {}, deadline);
  if (!answer) co_return false;
  (void)co_await answer->read_all(kMaxAnswer, deadline);
  co_return answer->head().status < 500;
}

// GET /readyz: gates on the local engine only, and tells of the pairs.
Task<void> Proxy::answer_ready(http::Exchange& exchange, http::Endpoint decoder) {
  bool lives = co_await engine_lives(decoder, kReadyTimeout);
  DecoderHealth& health = health_[decoder];
  if (lives && !health.serves()) tell_alive(decoder, true);
  if (health.checked(lives)) aside_.spawn(watch_decoder(decoder));
  using text::json::Object;
  const std::string body = text::json::dump(Object{{"ready", lives},
                                                   {"engine", http::to_string(decoder)},
                                                   {"pairs_warm", warm_ups_.warm()},
                                                   {"pairs_warming", warm_ups_.warming()}});
  (void)co_await exchange.respond({lives ? 200 : 503, {{"Content-Type", "application/json"}}},
                                  body);
}

void Proxy::tell_alive(const http::Endpoint& decoder, bool lives) const {
  log::warn(lives ? "the decode engine is back" : "the decode engine is dead",
            {{"engine", http::to_string(decoder)}});
}

// Until it answers its health check.
Task<void> Proxy::watch_decoder(http::Endpoint decoder) {
  DecoderHealth& health = health_[decoder];
  for (;;) {
    bool lives = co_await engine_lives(decoder, DecoderHealth::kProbeTimeout);
    deps_.probe.decoder_probed(lives ? "alive" : "dead");
    bool was_serving = health.serves();
    bool again = health.probed(lives);
    if (was_serving != lives) tell_alive(decoder, lives);
    if (!again) co_return;
    co_await async::sleep_until(deps_.clock.now() + DecoderHealth::kBetween);
  }
}

// Leaves the warm prefill engines, and sees to it that the others become warm. Without a warm one
// the policy decides: fallback computes here, the others take a cold one.
void Proxy::keep_warm(Call& call) {
  bool pairs = config_.warm_up && connector_->order() == Order::kSerial && connector_->leases();
  if (!pairs) return;
  std::vector<http::Endpoint> warm;
  // One that engines do not have, as a client may ask for, would never make a pair warm.
  const std::string model(warm_model_.empty() ? call.index->find("model").value_or(R"("")")
                                              : std::string_view(warm_model_));
  for (const http::Endpoint& each : call.prefillers) {
    if (warm_ups_.is_warm(each)) {
      warm.push_back(each);
    } else if (warm_ups_.begin(each, deps_.clock.now())) {
      aside_.spawn(warm_up(each, call.decoder, model));
    }
  }
  if (warm.size() == call.prefillers.size()) return;
  deps_.probe.passed_over_cold();
  if (!warm.empty()) {
    call.prefillers = std::move(warm);
  } else if (config_.tactics.policy == Policy::kFallback) {
    call.prefillers.clear();
    call.no_prefill = "warming";
  }
}

// Whether the decode engine can ask for the KV; `error` says why not.
Task<bool> Proxy::reachable(http::Endpoint prefiller, http::Endpoint channel, std::string& error) {
  const SideChannels::Told told = co_await channels_.state(channel);
  const bool open = told.state == Channel::kOpen;
  const bool refused = told.state == Channel::kRefused;
  if (told.now) deps_.probe.channel_asked(open ? "open" : refused ? "refused" : "silent");
  if (open) co_return true;
  deps_.probe.lease_abandoned("unleased");
  error =
      fmt::format("the KV of the prefill engine at {} cannot be fetched: its side channel {} {}",
                  http::to_string(prefiller), http::to_string(channel),
                  refused ? "takes no connection" : "does not answer");
  if (told.now) {
    log::warn("a prefill engine's KV cannot be fetched",
              {{"prefiller", http::to_string(prefiller)},
               {"side channel", http::to_string(channel)},
               {"result", refused ? "refused" : "silent"},
               {"what to do",
                "check the engine's log, VLLM_NIXL_SIDE_CHANNEL_HOST and network "
                "policies"}});
  }
  co_return false;
}

// A throw-away prompt through both engines. `model` is JSON text.
Task<void> Proxy::warm_up(http::Endpoint prefiller, http::Endpoint decoder, std::string model) {
  const Mono begin = deps_.clock.now();
  const Result<std::string> engine = co_await warm_pair(prefiller, decoder, model);
  warm_ups_.end(prefiller, engine ? *engine : "", deps_.clock.now());
  deps_.probe.warmed_up(engine ? "done" : "failed");
  if (!engine) {
    log::warn("a warm-up failed", {{"prefiller", http::to_string(prefiller)},
                                   {"decoder", http::to_string(decoder)},
                                   {"reason", engine.error().message()}});
    co_return;
  }
  log::info("a pair is warm", {{"prefiller", http::to_string(prefiller)},
                               {"decoder", http::to_string(decoder)},
                               {"seconds", seconds(deps_.clock.now() - begin)}});
}

// The prefill engine's id.
Task<Result<std::string>> Proxy::warm_pair(http::Endpoint prefiller, http::Endpoint decoder,
                                           std::string model) {
  Deadline deadline = Deadline::in(deps_.clock, kWarmUpTimeout);
  Pairing pairing = make_pairing(deps_.random);
  pairing.prefiller = prefiller;
  // Nobody's cache holds this one.
  const std::string body =
      fmt::format(R"({{"model":{},"prompt":"warm-up {}","max_tokens":1}})", model, pairing.id);
  auto index = openai::BodyIndex::scan(body);
  if (!index) co_return index.error();
  http::RequestHead head{"POST",
                         "/v1/completions",
                         {{"Content-Type", "application/json"}, {"x-request-id", pairing.id}}};
  openai::Spliced asked = index->splice(connector_->prefill_edits(Api::kChat, *index, pairing));
  http::RequestHead asking = head;
  add_ticket(asking.headers);
  auto sent = co_await prefill_client_.send(prefiller, asking, asked.pieces, deadline);
  if (!sent) co_return sent.error().error;
  auto text = co_await sent->read_all(kMaxAnswer, deadline);
  if (!text) co_return text.error().error;
  if (const int status = sent->head().status; status != 200) {
    co_return unavailable(fmt::format("the prefill engine answered {}", status));
  }
  auto handover = connector_->read_prefill_answer(*text);
  if (!handover) co_return handover.error();
  if (handover->engine_id.empty()) co_return unavailable("the prefill engine does not tell its id");
  if (handover->side_channel) {
    std::string error;
    bool there = co_await reachable(prefiller, *handover->side_channel, error);
    if (!there) co_return unavailable(error);
  }
  openai::Spliced pulling = index->splice(connector_->decode_edits(*handover, pairing));
  auto answer =
      co_await decode_client_.send(decoder, head, pulling.pieces, deadline, http::Resend::kNever);
  if (!answer) co_return answer.error().error;
  auto rest = co_await answer->read_all(kMaxAnswer, deadline);
  if (!rest) co_return rest.error().error;
  if (const int status = answer->head().status; status != 200) {
    co_return unavailable(fmt::format("the decode engine answered {}", status));
  }
  co_return std::move(handover->engine_id);
}

// The decode engine's counters of cached tokens; nullopt when it has none.
Task<std::optional<CachedTokens>> Proxy::read_counters(http::Endpoint decoder) {
  http::RequestHead head{"GET", "/metrics", {}};
  Deadline deadline = Deadline::in(deps_.clock, kCountersTimeout);
  auto answer = co_await decode_client_.send(decoder, head, {}, deadline);
  if (!answer || answer->head().status != 200) co_return std::nullopt;
  auto text = co_await answer->read_all(kMaxCounters, deadline);
  co_return text ? cached_tokens_in(*text) : std::nullopt;
}

// A generation request comes to the decode engine.
Task<void> Proxy::begin_proof(Call& call) {
  TransferLedger& ledger = ledgers_[call.decoder];
  std::optional<CachedTokens> now;
  if (ledger.opens()) {
    auto told = co_await read_counters(call.decoder);
    now = told;
  }
  ledger.begin(now);
  call.measured = true;
}

// Its answer has begun: if it was alone, what it pulled is known exactly.
Task<void> Proxy::take_proof(Call& call) {
  TransferLedger& ledger = ledgers_[call.decoder];
  if (!ledger.alone()) co_return;
  auto now = co_await read_counters(call.decoder);
  call.pulled_tokens = ledger.answered(now);
  note_proof(ledger);
}

Task<void> Proxy::end_proof(http::Endpoint decoder) {
  TransferLedger& ledger = ledgers_[decoder];
  std::optional<CachedTokens> now;
  if (ledger.settles()) {
    auto told = co_await read_counters(decoder);
    now = told;
  }
  ledger.end(now);
  note_proof(ledger);
}

void Proxy::note_proof(TransferLedger& ledger) {
  auto settled = ledger.take_settled();
  if (!settled) return;
  deps_.probe.transfer_proved(settled->expected, settled->pulled);
  if (!ledger.failed(settled->prefiller)) return;
  log::warn("transfers do not happen: prompts are computed again",
            {{"prefiller", http::to_string(settled->prefiller)}});
  ledger.forget(settled->prefiller);
  if (withdrawn_.size() >= TransferLedger::kMaxPairs) withdrawn_.clear();
  withdrawn_[settled->prefiller] = deps_.clock.now() + kWithdrawnFor;
}

// Under strict a pair that has failed its proof is left out for a while.
bool Proxy::unproved(const http::Endpoint& prefiller) {
  auto found = withdrawn_.find(prefiller);
  bool out = found != withdrawn_.end() && config_.tactics.policy == Policy::kStrict &&
             deps_.clock.now() < found->second;
  if (out) deps_.probe.passed_over_unproved();
  return out;
}

}  // namespace baton::sidecar
