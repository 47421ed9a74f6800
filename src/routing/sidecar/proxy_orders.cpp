// Orders of the legs other than one after the other: both at once, and decode first.

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/core/assert.hpp"
#include "routing/sidecar/proxy.hpp"
#include "routing/sidecar/proxy_call.hpp"
#include "routing/sidecar/relay.hpp"
#include "routing/sidecar/store_answer.hpp"

namespace baton::sidecar {

Leg leg_of(const http::Failure& failure) {
  switch (failure.kind) {
    case http::Failure::Kind::kRefused:
      return {Leg::Kind::kRefused, 0};
    case http::Failure::Kind::kTimeout:
      return {Leg::Kind::kTimeout, 0};
    default:
      return {.kind = Leg::Kind::kLost, .status = 0, .kept = failure.kept};
  }
}

bool is_away(const Leg& leg) {
  return leg.kind == Leg::Kind::kRefused || leg.kind == Leg::Kind::kLost ||
         leg.kind == Leg::Kind::kTimeout || leg.kind == Leg::Kind::kBroken ||
         (leg.kind == Leg::Kind::kAnswered && leg.status >= 502 && leg.status <= 504);
}

std::string_view label(Leg::Kind kind) {
  switch (kind) {
    case Leg::Kind::kAnswered:
      return "answered";
    case Leg::Kind::kUnusable:
      return "unusable";
    case Leg::Kind::kBroken:
      return "broken";
    case Leg::Kind::kRefused:
      return "refused";
    case Leg::Kind::kLost:
      return "lost";
    case Leg::Kind::kTimeout:
      return "timeout";
    case Leg::Kind::kOpen:
      return "open";
  }
  return "";
}

// Another engine that has a prefix; one that cannot be used is passed over (llm-d).
void Proxy::read_source(Call& call) {
  auto text = call.exchange.head().headers.get(kKvSourceHeader);
  if (!text || !connector_->pulls()) return;
  auto source = http::parse_endpoint(without_scheme(*text));
  bool self = source && !config_.pod_ip.empty() && source->host == config_.pod_ip &&
              source->port - config_.ports.serving == call.decoder.port - config_.decoder.port;
  if (!source || self) return;
  if (!allowed(*source)) return deps_.probe.refused("allowlist");
  call.pairing.source = KvSource{*std::move(source), uuid4(deps_.random)};
}

// Both legs at once. The prefill goes on by itself: when its client leaves too, as the engines
// settle between themselves what becomes of the KV.
Action Proxy::start_beside(Call& call) {
  Mono now = deps_.clock.now();
  std::optional<Breaker::Pass> pass = breakers_.of(call.prefiller()).admit(now);
  if (!pass) {
    deps_.probe.prefill_attempted(label(Leg::Kind::kOpen));
    Action action = call.transaction.begin(1, now);
    BATON_ASSERT(action == Action::kPrefill);
    call.error = fmt::format("the prefill engine at {} keeps failing and is left alone for now",
                             http::to_string(call.prefiller()));
    return budgeted(call, call.transaction.on_prefill({.kind = Leg::Kind::kOpen}, now));
  }
  call.pairing.prefiller = call.prefiller();
  std::vector<openai::Edit> edits = connector_->prefill_edits(call.api, *call.index, call.pairing);
  beside_.spawn(prefill_beside(call.prefiller(), call.head, call.index->splice(edits).join(),
                               call.deadline, *pass));
  return call.transaction.begin_parallel();
}

Task<void> Proxy::prefill_beside(http::Endpoint to, http::RequestHead head, std::string body,
                                 Deadline deadline, Breaker::Pass pass) {
  std::array<std::string_view, 1> pieces = {body};
  Mono begin = deps_.clock.now();
  auto sent = co_await prefill_client_.send(to, head, pieces, deadline);
  Leg leg;
  if (sent) {
    auto whole = co_await sent->read_all(kMaxAnswer, deadline);
    leg = whole ? Leg{.status = sent->head().status} : leg_of(whole.error());
  } else {
    leg = leg_of(sent.error());
  }
  deps_.probe.prefill_attempted(label(leg.kind));
  deps_.probe.prefill_took(deps_.clock.now() - begin);
  Breaker& breaker = breakers_.of(to);
  if (is_away(leg)) {
    breaker.on_failure(pass, deps_.clock.now());
  } else {
    breaker.on_success();
  }
}

// Asks the decode engine alone first when the client sets a threshold. False: the prompt is not in
// the store, nothing was sent to the client.
Task<bool> Proxy::answered_by_decode(Call& call) {
  if (!call.index->find("cache_hit_threshold")) co_return false;
  std::array<std::string_view, 1> pieces = {call.body};
  auto sent = co_await decode_client_.send(call.decoder, call.head, pieces, call.deadline);
  if (!sent) co_return false;  // the second try tells the client
  StoreAnswer seen;
  bool good = sent->head().status >= 200 && sent->head().status < 300;
  bool whole = false;
  while (good && !whole && !seen.settled(sent->head())) {
    auto piece = co_await sent->read_some(call.deadline);
    if (!piece || !seen.add(*piece)) co_return false;
    whole = piece->empty();
  }
  if (good && seen.missed(sent->head())) co_return false;
  (void)call.transaction.begin(0, deps_.clock.now());
  (void)call.transaction.on_decode({.status = sent->head().status}, deps_.clock.now());
  call.no_prefill = "in-store";
  call.prefillers.clear();
  http::ResponseHead head = sent->head();
  http::remove_hop_by_hop(head.headers);
  add_proof(call, head.headers);
  if (!good) head.headers.set("x-baton-error-hop", "decode");
  Relayed relayed =
      co_await relay_after(call.exchange, std::move(head), seen.text(), *sent, call.deadline);
  if (relayed == Relayed::kWhole) call.transaction.on_sent();
  if (relayed == Relayed::kEngineBroke) call.transaction.on_broken();
  co_return true;
}

}  // namespace baton::sidecar
