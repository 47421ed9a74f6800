// Orders of the legs other than one after the other: both at once, and decode first.

#include <fmt/format.h>

#include <utility>

#include "base/core/assert.hpp"
#include "base/core/log.hpp"
#include "formats/kv/transfer_params.hpp"
#include "net/http/trace_headers.hpp"
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
         leg.kind == Leg::Kind::kCutOff ||
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
    case Leg::Kind::kCutOff:
      return "cut_off";
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

std::string left_alone(const http::Endpoint& prefiller) {
  return fmt::format("the prefill engine at {} keeps failing and is left alone for now",
                     http::to_string(prefiller));
}

namespace {

// What a leg without a span shares with the request's stands there already.
void add_own(http::Headers& headers, const observe::Span& leg, std::optional<int> rank) {
  if (rank) headers.set("x-data-parallel-rank", std::to_string(*rank));
  if (leg) http::pass_on(leg, headers);
}

}  // namespace

const http::RequestHead& head_of_decode(const http::RequestHead& head, const observe::Span& leg,
                                        std::optional<int> rank, http::RequestHead& room) {
  if (!leg && !rank) return head;
  room = head;
  add_own(room.headers, leg, rank);
  return room;
}

// A prefill pod may have a sidecar of its own, which takes the leg by a ticket; its engine may
// announce its KV.
http::RequestHead Proxy::head_of_prefill(const Call& call, const observe::Span& leg) {
  http::RequestHead out = call.head;
  out.headers.remove(kRankHeader);  // names an engine of this pod
  add_own(out.headers, leg, connector_->prefill_rank(call.pairing));
  add_ticket(out.headers);
  if (connector_->leases()) out.headers.set(kv::kAnnounceHeader, "1");
  return out;
}

Nanos Proxy::Attempt::end(observe::Span& span, const Leg& leg, std::string_view error) {
  told = true;
  const Mono now = proxy.deps_.clock.now();
  end_leg(span, leg, error);
  span.end();
  proxy.deps_.probe.prefill_attempted(label(leg.kind));
  proxy.deps_.probe.prefill_took(now - began);
  Breaker& breaker = proxy.breakers_.of(to);
  bool silent = leg.kind == Leg::Kind::kTimeout;
  if (silent && !had_its_time(proxy.config_.tactics, now - began, budget)) {
    breaker.on_abandoned(pass, now);
  } else if (is_away(leg)) {
    proxy.warm_ups_.lost(to);
    breaker.on_failure(pass, now);
  } else {
    breaker.on_success();
  }
  return now - began;
}

// Of a prefill that its request waits for.
Leg Proxy::end_prefill(Call& call, Attempt& attempt, const Leg& leg) {
  call.prefill_time = attempt.end(call.prefill_span, leg, call.error);
  return leg;
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

// Chooses an engine of the first prefill host that tells its engines, where the connector needs
// that. False: none does.
Task<bool> Proxy::find_engine(Call& call) {
  auto port = connector_->bootstrap_port();
  if (!port) co_return true;
  for (std::size_t i = 0; i < call.prefillers.size(); ++i) {
    http::Endpoint service{call.prefillers[i].host, *port};
    auto engine = co_await engines_.choose(service, call.deadline, deps_.random);
    if (engine) {
      call.pairing.rank = engine->rank;
      call.pairing.engine_id = engine->id;
      std::swap(call.prefillers[0], call.prefillers[i]);
      co_return true;
    }
    call.error = engine.error().message();
    log::warn("no prefill engine", {{"reason", call.error}});
  }
  co_return false;
}

void Proxy::forget_engine(const Call& call) {
  if (auto port = connector_->bootstrap_port()) engines_.forget({call.prefiller().host, *port});
}

Action Proxy::without_engine(Call& call) {
  Mono now = deps_.clock.now();
  deps_.probe.prefill_attempted("refused");
  (void)call.transaction.begin(1, now);
  return budgeted(call, call.transaction.on_prefill({.kind = Leg::Kind::kBroken}, now));
}

// Both legs at once, but the answer of decode is kept back. A failed prefill ends both.
Task<Leg> Proxy::attempt_held(Call& call, Attempt& attempt) {
  Leg leg;
  std::vector<Task<async::Went>> legs;
  legs.push_back(held_prefill(call, attempt, leg));
  legs.push_back(held_decode(call));
  async::Went went = co_await async::all_or_none(std::move(legs));
  if (went == async::Went::kWrong) call.early.reset();
  co_return leg;
}

Task<async::Went> Proxy::held_prefill(Call& call, Attempt& attempt, Leg& into) {
  Leg leg = co_await attempt_prefill(call, attempt);
  into = leg;
  bool good = leg.kind == Leg::Kind::kAnswered && leg.status >= 200 && leg.status < 300;
  co_return good ? async::Went::kWell : async::Went::kWrong;
}

Task<async::Went> Proxy::held_decode(Call& call) {
  auto sent = co_await send_decode(call, With::kHandover);
  call.early = std::move(sent);
  co_return async::Went::kWell;
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
    call.error = left_alone(call.prefiller());
    return budgeted(call, call.transaction.on_prefill({.kind = Leg::Kind::kOpen}, now));
  }
  call.pairing.prefiller = call.prefiller();
  std::vector<openai::Edit> edits =
      sealed(connector_->prefill_edits(call.api, *call.index, call.pairing), *call.index);
  observe::Span span = start_leg(call.span, "llm_d.pd_proxy.prefill", call.prefiller());
  http::RequestHead head = head_of_prefill(call, span);
  beside_.spawn(prefill_beside({call.prefiller(), std::move(head), call.index->splice(edits),
                                call.body, call.deadline, call.budget, *pass, std::move(span)}));
  return call.transaction.begin_parallel();
}

Task<void> Proxy::prefill_beside(Beside it) {
  Attempt attempt{*this, it.to, it.pass, it.budget, deps_.clock.now()};
  auto sent = co_await prefill_client_.send(it.to, it.head, it.body.pieces, it.deadline);
  Leg leg;
  if (sent) {
    auto whole = co_await sent->read_all(kMaxAnswer, it.deadline);
    leg = whole ? Leg{.status = sent->head().status} : leg_of(whole.error());
    if (!whole) (void)legs_.failed("prefill", whole.error(), deps_.clock.now());
  } else {
    leg = leg_of(sent.error());
    (void)legs_.failed("prefill", sent.error(), deps_.clock.now());
  }
  (void)attempt.end(it.span, leg, sent ? "" : sent.error().error.message());
  auto port = connector_->bootstrap_port();
  bool failed = is_away(leg) || leg.status >= 400;
  if (failed && leg.status != 0) {
    log::warn("a prefill beside its decode failed",
              {{"prefiller", http::to_string(it.to)}, {"status", leg.status}});
  }
  if (failed && port) engines_.forget({it.to.host, *port});
}

// Asks the decode engine alone first when the client sets a threshold. False: the prompt is not in
// the store, nothing was sent to the client.
Task<bool> Proxy::answered_by_decode(Call& call) {
  if (!call.index->find("cache_hit_threshold")) co_return false;
  const openai::Spliced asked = call.index->splice(sealed({}, *call.index));
  call.decode_span = start_leg(call.span, "decode", call.decoder);
  http::RequestHead room;
  const auto& asking = head_of_decode(call.head, call.decode_span, std::nullopt, room);
  auto sent = co_await decode_client_.send(call.decoder, asking, asked.pieces, call.deadline);
  end_leg(call.decode_span, sent ? Leg{.status = sent->head().status} : leg_of(sent.error()),
          sent ? "" : sent.error().error.message());
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
  call.answered = sent->head().status;
  http::ResponseHead head = sent->take_head();
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
