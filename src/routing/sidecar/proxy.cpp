#include "routing/sidecar/proxy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <utility>

#include "base/async/finish_by.hpp"
#include "base/core/assert.hpp"
#include "base/text/json.hpp"
#include "net/http/time_limit.hpp"
#include "net/http/trace_headers.hpp"
#include "routing/sidecar/proxy_call.hpp"
#include "routing/sidecar/relay.hpp"
#include "routing/sidecar/upload.hpp"

namespace baton::sidecar {

// However the request ends, also by cancellation: the lease goes back, the outcome is counted.
struct Proxy::Closing {
  Proxy& proxy;
  Call& call;
  ~Closing() {
    if (call.transaction.state() != State::kDone) call.transaction.on_client_gone();
    proxy.give_back(call);
    if (call.measured) proxy.aside_.spawn(proxy.end_proof(call.decoder));
    if (call.budget_taken) proxy.budget_.give();
    proxy.deps_.probe.request_done(call.transaction.outcome());
    proxy.end_span(call);
  }
};

// A proxy that tries again after an error of ours sends the same ticket.
struct Proxy::TicketUse {
  Proxy& proxy;
  const Call& call;
  ~TicketUse() {
    const bool answered = call.exchange.started() && call.answered != 0 && call.answered < 500;
    if (!call.ticket.empty() && !answered) proxy.tickets_.give_back(call.ticket);
  }
};

Proxy::Proxy(const Deps& deps, Config config)
    : deps_(deps),
      config_(std::move(config)),
      connector_(nullptr),
      breakers_(config_.breaker),
      budget_(config_.fallback_share, config_.decode_capacity),
      prefill_client_(deps.clock, {.idle_per_endpoint = config_.idle_connections,
                                   .tls = config_.prefiller_tls}),
      decode_client_(deps.clock,
                     {.idle_per_endpoint = config_.idle_connections, .tls = config_.decoder_tls}),
      encode_client_(deps.clock,
                     {.idle_per_endpoint = config_.idle_connections, .tls = config_.encoder_tls}),
      engines_(deps.clock),
      channels_(deps.loop.executor(), deps.clock, config_.side_channel_patience),
      releases_(deps.loop.executor()),
      beside_(deps.loop.executor()),
      aside_(deps.loop.executor()) {
  set_base_port(0);
  if (config_.moriio && config_.moriio->dispatch == Dispatch::kParallel) {
    Nanos& limit = config_.tactics.prefill_timeout;
    limit = limit == Nanos() ? config_.moriio->decode_wait
                             : std::min(limit, config_.moriio->decode_wait);
  }
  if (!config_.allowlist_file.empty()) {
    allowlists_.push_back(std::make_unique<FileAllowlist>(config_.allowlist_file));
  }
  if (config_.pool) allowlists_.push_back(std::make_unique<PublishedAllowlist>(config_.pool));
}

void Proxy::set_base_port(std::uint16_t port) {
  config_.ports.serving = port;
  config_.ports.ranks = config_.ranks;
  connector_ = make_connector(config_.connector, {config_.ports, config_.pull, config_.moriio});
  BATON_ASSERT(connector_ != nullptr);
  if (const auto& alone = config_.self_schedule) {
    self_.emplace(http::Endpoint{config_.pod_ip, port}, alone->pool, alone->picker);
  }
}

bool Proxy::allowed(const http::Endpoint& endpoint) {
  return allowlists_.empty() ||
         std::ranges::any_of(allowlists_, [&](const auto& list) { return list->allows(endpoint); });
}

http::Endpoint Proxy::decoder_of(int rank) const {
  return {config_.decoder.host, static_cast<std::uint16_t>(config_.decoder.port + rank)};
}

// The engine of the listener's rank; the first listener also serves the others by name (llm-d).
// nullopt: the name is not one of this pod's.
std::optional<http::Endpoint> Proxy::named_decoder(const http::RequestHead& head, int rank) const {
  auto named = rank == 0 ? head.headers.get(kRankHeader) : std::nullopt;
  if (!named) return decoder_of(rank);
  auto endpoint = http::parse_endpoint(*named);
  bool own = endpoint && endpoint->host == config_.pod_ip;
  int asked = own ? endpoint->port - config_.ports.serving : -1;
  return asked < 0 || asked >= config_.ranks ? std::nullopt : std::optional(decoder_of(asked));
}

// No coroutine of its own: each of these has one.
Task<void> Proxy::handle(http::Exchange& exchange, int rank) {
  const http::RequestHead& head = exchange.head();
  if (head.method == "GET" && head.path() == "/health") return answer_health(exchange);
  if (head.method == "GET" && head.path() == "/readyz") {
    return answer_ready(exchange, decoder_of(rank));
  }
  const std::optional<Route> route = generating_route(head);
  if (!route) return pass_through(exchange, decoder_of(rank));
  return route->api ? generate(exchange, *route, rank) : pass_guarded(exchange, decoder_of(rank));
}

Task<void> Proxy::answer_health(http::Exchange& exchange) {
  (void)co_await exchange.respond({200, {}}, "");
}

// No generation request: the body is not looked at.
Task<void> Proxy::pass_through(http::Exchange& exchange, http::Endpoint decoder) {
  Upload upload(exchange);
  Result<bool> whole = co_await upload.begin();
  if (!whole) {
    co_await refuse_body(exchange, whole.error());
    co_return;
  }
  deps_.probe.request_passed_through();
  Deadline deadline = Deadline::in(deps_.clock, config_.request_timeout);
  http::RequestHead head = forwarded(exchange.head(), exchange.peer());
  std::array<std::string_view, 1> pieces = {upload.begun()};
  auto answer =
      co_await (*whole ? decode_client_.send(decoder, head, pieces, deadline)
                       : decode_client_.send(decoder, head, upload, upload.length(), deadline));
  if (!answer && upload.error()) {
    co_await refuse_body(exchange, *upload.error());
    co_return;
  }
  co_await pass_back(exchange, std::move(answer), deadline);
}

// The decode engine generates by it, so it must not say where KV comes from.
Task<void> Proxy::pass_guarded(http::Exchange& exchange, http::Endpoint decoder) {
  const auto body = co_await read_generation(exchange);
  if (!body) co_return;
  if (const std::string_view member = kv_member(*body); !member.empty()) {
    co_await refuse_params(exchange, member);
    co_return;
  }
  deps_.probe.request_passed_through();
  const Deadline deadline = Deadline::in(deps_.clock, config_.request_timeout);
  const http::RequestHead head = forwarded(exchange.head(), exchange.peer());
  const std::array<std::string_view, 1> pieces = {*body};
  auto answer = co_await decode_client_.send(decoder, head, pieces, deadline);
  co_await pass_back(exchange, std::move(answer), deadline);
}

Task<void> Proxy::pass_back(http::Exchange& exchange, http::Sent<http::Response> answer,
                            Deadline deadline) {
  if (!answer) {
    Transaction alone(config_.tactics, deadline);
    (void)alone.begin(0, deps_.clock.now());
    (void)alone.on_decode(leg_of(answer.error()), deps_.clock.now());
    co_await respond_error(exchange, alone.status(),
                           legs_.failed("decode", answer.error(), deps_.clock.now()), "decode");
    co_return;
  }
  http::ResponseHead out = answer->take_head();
  http::remove_hop_by_hop(out.headers);
  (void)co_await relay(exchange, std::move(out), *answer, deadline);
}

Task<void> Proxy::refuse_body(http::Exchange& exchange, const Error& error) {
  return respond_error(exchange, http::body_error_status(error), error.message(), "sidecar");
}

// What the pod's router and the client allow; without a word of theirs, our own limit.
Result<Proxy::TimeLimits> Proxy::time_limits(const http::Headers& asked) const {
  BATON_TRY_ASSIGN(const auto route,
                   http::time_limit(asked, http::kRouteLimit, config_.request_timeout));
  BATON_TRY_ASSIGN(const auto client,
                   http::time_limit(asked, http::kClientLimit, config_.request_timeout));
  const Nanos budget = route.value_or(config_.request_timeout);
  return TimeLimits{budget, std::min(budget, client.value_or(budget))};
}

// Nothing was asked of an engine.
Task<void> Proxy::refuse_generation(http::Exchange& exchange, const http::Endpoint* decoder,
                                    const Result<TimeLimits>& limits) {
  if (decoder == nullptr) {
    deps_.probe.refused("rank");
    (void)co_await exchange.respond({400, {}}, "");
  } else if (!health_[*decoder].serves()) {
    deps_.probe.refused("dead");
    co_await respond_error(exchange, 503,
                           fmt::format("{} (the engine at {} fails its health check)", kNotReady,
                                       http::to_string(*decoder)),
                           "decode");
  } else {
    deps_.probe.refused("timeout");
    co_await respond_error(exchange, 400, limits.error().message(), "sidecar");
  }
}

// A body that will be looked at. nullopt: it cannot be, and that was answered.
Task<std::optional<std::string>> Proxy::read_generation(http::Exchange& exchange) {
  if (const auto problem = http::content_coding_problem(exchange.head().headers)) {
    co_await respond_error(exchange, 415, *problem, "sidecar");
    co_return std::nullopt;
  }
  Result<std::string> body = co_await exchange.read_body(kMaxBody);
  if (!body) {
    co_await refuse_body(exchange, body.error());
    co_return std::nullopt;
  }
  if (const auto problem = encoding_problem(*body)) {
    deps_.probe.refused("json");
    co_await respond_error(exchange, 400, *problem, "sidecar");
    co_return std::nullopt;
  }
  co_return *std::move(body);
}

// Contract: the route has an API.
Task<void> Proxy::generate(http::Exchange& exchange, Route route, int rank) {
  const http::RequestHead& head = exchange.head();
  std::optional<std::string> body = co_await read_generation(exchange);
  if (!body) co_return;
  const std::optional<http::Endpoint> decoder = named_decoder(head, rank);
  const auto limits = time_limits(head.headers);
  if (decoder) deps_.probe.generation(*route.api);
  if (!decoder || !health_[*decoder].serves() || !limits) {
    co_await refuse_generation(exchange, decoder ? &*decoder : nullptr, limits);
    co_return;
  }
  const Deadline deadline = Deadline::in(deps_.clock, limits->client);
  Call call{exchange,
            route.path,
            *route.api,
            *decoder,
            std::make_shared<std::string>(*std::move(body)),
            deadline,
            limits->budget,
            Transaction(config_.tactics, deadline),
            forwarded(head, exchange.peer())};
  call.span = start_span(deps_.tracer, exchange, route.path, config_.connector);
  http::pass_on(call.span, call.head.headers);
  TicketUse ticket_use{*this, call};
  Asked asked = read_head(call);
  if (!asked.nothing()) {
    bool admitted = co_await admit(call, std::move(asked));
    if (!admitted) co_return;
  }
  Closing closing{*this, call};
  if (config_.prove_transfers) co_await begin_proof(call);
  const Order order = call.prefillers.empty() ? Order::kSerial : connector_->order();
  if (order == Order::kParallel) {
    co_await run_parallel(call);
  } else if (order == Order::kDecodeFirst) {
    co_await run_decode_first(call);
  } else {
    co_await run_legs(call, call.transaction.begin(call.prefillers.size(), deps_.clock.now()));
  }
}

Task<void> Proxy::run_parallel(Call& call) {
  bool known = co_await find_engine(call);
  co_await run_legs(call, known ? start_beside(call) : without_engine(call));
}

Task<void> Proxy::run_decode_first(Call& call) {
  bool answered = co_await answered_by_decode(call);
  if (answered) co_return;
  co_await run_legs(call, call.transaction.begin(call.prefillers.size(), deps_.clock.now()));
}

Task<void> Proxy::run_legs(Call& call, Action action) {
  Transaction& t = call.transaction;
  for (;;) {
    if (action == Action::kPrefill) {
      Action next = co_await prefill_leg(call);
      action = next;
    } else if (action == Action::kWait) {
      co_await async::sleep_until(t.wait_until());
      action = t.on_waited(deps_.clock.now());
    } else if (action == Action::kDecode || action == Action::kDecodeLocally) {
      Action next = co_await decode_leg(call, action);
      action = next;
    } else {
      break;
    }
    action = budgeted(call, action);
  }
  if (action == Action::kRelayPrefill) {
    co_await relay_prefill(call);
  } else if (action == Action::kStream) {
    co_await stream(call);
  } else {
    co_await fail(call);
  }
}

Action Proxy::budgeted(Call& call, Action action) {
  bool due = action == Action::kDecodeLocally && call.transaction.wants_budget();
  if (!due || call.budget_taken) return action;
  call.budget_taken = budget_.take();
  if (call.budget_taken) return action;
  deps_.probe.fallback_denied();
  call.error = fmt::format(
      "the prefill failed ({}), and the decode engine already computes {} prompts in place of "
      "others",
      call.error, budget_.used());
  return call.transaction.on_no_budget();
}

Task<Action> Proxy::prefill_leg(Call& call) {
  give_back(call);  // of an earlier attempt
  call.early.reset();
  Mono begin = deps_.clock.now();
  std::optional<Breaker::Pass> pass = breakers_.of(call.prefiller()).admit(begin);
  Leg leg{.kind = Leg::Kind::kOpen};
  if (pass) {
    Attempt attempt{*this, call.prefiller(), *pass, call.budget, begin};
    Leg made = co_await (connector_->order() == Order::kHeld ? attempt_held(call, attempt)
                                                             : attempt_prefill(call, attempt));
    leg = made;
  } else {
    deps_.probe.prefill_attempted(label(leg.kind));
    if (call.error.empty()) call.error = left_alone(call.prefiller());
  }
  Action next = call.transaction.on_prefill(leg, deps_.clock.now());
  if (next == Action::kDecodeLocally) {
    deps_.probe.fell_back(leg.kind == Leg::Kind::kUnusable ? "no-kv"
                          : leg.kind == Leg::Kind::kCutOff ? "cut-off"
                                                           : "prefill");
  }
  co_return next;
}

Task<Leg> Proxy::attempt_prefill(Call& call, Attempt& attempt) {
  Deadline deadline = call.transaction.leg_deadline(deps_.clock.now());
  call.pairing.prefiller = call.prefiller();
  std::vector<openai::Edit> edits =
      sealed(connector_->prefill_edits(call.api, *call.index, call.pairing), *call.index);
  openai::Spliced body = call.index->splice(edits);
  call.prefill_span = start_leg(call.span, "prefill", call.prefiller());
  const http::RequestHead head = head_of_prefill(call, call.prefill_span);
  auto sent = co_await prefill_client_.send(call.prefiller(), head, body.pieces, deadline);
  if (!sent) {
    call.error = legs_.failed("prefill", sent.error(), deps_.clock.now());
    co_return end_prefill(call, attempt, leg_of(sent.error()));
  }
  Leg leg = co_await (is_announced(call, sent->head())
                          ? attempt_overlapped(call, attempt, *sent, deadline)
                          : finish_prefill(call, attempt, *sent, deadline));
  co_return leg;
}

// The prefill engine's answer has begun.
Task<Leg> Proxy::finish_prefill(Call& call, Attempt& attempt, http::Response& answer,
                                Deadline deadline) {
  Mono granted = deps_.clock.now();
  auto whole = co_await answer.read_all(kMaxAnswer, deadline);
  if (!whole) {
    call.error = legs_.failed("prefill", whole.error(), deps_.clock.now());
    co_return end_prefill(call, attempt, leg_of(whole.error()));
  }
  call.prefill_head = answer.take_head();
  call.prefill_body = *std::move(whole);
  Leg leg = read_prefill(call);
  leg.granted = granted;
  if (leg.kind == Leg::Kind::kAnswered && leg.status < 300 && call.handover.side_channel) {
    bool there = co_await reachable(call.prefiller(), *call.handover.side_channel, call.error);
    if (!there) leg.kind = Leg::Kind::kCutOff;
  }
  bool fresh = leg.kind == Leg::Kind::kAnswered && leg.status < 300 && leg.leased;
  if (fresh && call.handover.expiry) {
    leg.granted -= lease_clock_.age(call.handover.engine_id, *call.handover.expiry, granted);
  }
  co_return end_prefill(call, attempt, leg);
}

// What a complete prefill answer amounts to.
Leg Proxy::read_prefill(Call& call) {
  int status = call.prefill_head.status;
  if (status < 200 || status >= 300) {
    call.error = fmt::format("the prefill engine answered {}", status);
    return {.kind = Leg::Kind::kAnswered, .status = status};
  }
  Result<Handover> handover = connector_->read_prefill_answer(call.prefill_body);
  if (!handover) {
    bool broken = handover.error().code() == Code::kInvalid;
    call.error = fmt::format("the prefill engine answered {}: {}",
                             broken ? "no JSON" : "without KV", handover.error().message());
    return {broken ? Leg::Kind::kBroken : Leg::Kind::kUnusable, status};
  }
  call.handover = *std::move(handover);
  if (config_.warm_up) {
    warm_ups_.seen(call.prefiller(), call.handover.engine_id, deps_.clock.now());
  }
  return {.kind = Leg::Kind::kAnswered, .status = status, .leased = connector_->leases()};
}

Task<http::Sent<http::Response>> Proxy::send_decode(Call& call, With with) {
  bool pull = with == With::kHandover;
  openai::Spliced spliced;
  std::array<std::string_view, 1> whole = {*call.body};
  std::span<const std::string_view> pieces = whole;
  if (call.index) {
    std::vector<openai::Edit> edits =
        sealed(pull ? connector_->decode_edits(call.handover, call.pairing)
                    : connector_->local_edits(call.pairing),
               *call.index);
    if (call.chunks) std::ranges::move(call.chunks->edits(), std::back_inserter(edits));
    spliced = call.index->splice(edits);
    pieces = spliced.pieces;
  }
  call.decode_span = start_leg(call.span, "decode", call.decoder);
  http::RequestHead room;
  const auto rank = pull ? connector_->decode_rank(call.pairing) : std::nullopt;
  const auto& head = head_of_decode(call.head, call.decode_span, rank, room);
  // A handover is never sent twice: by then the engine may have pulled, or the KV may be gone.
  auto sent = co_await decode_client_.send(call.decoder, head, pieces, call.deadline,
                                           pull ? http::Resend::kNever : http::Resend::kOnFresh);
  co_return sent;
}

Task<Action> Proxy::decode_leg(Call& call, Action action) {
  bool pull = action == Action::kDecode;
  if (pull) {
    Action agreed = call.transaction.on_dispatch(deps_.clock.now());
    if (agreed != Action::kDecode) {
      call.error = call.transaction.status() == 504
                       ? "the deadline passed between prefill and decode"
                       : "too little of the lease on the prefilled KV was left";
      if (agreed == Action::kPrefill) deps_.probe.prefilled_again("lease");
      if (agreed == Action::kDecodeLocally) deps_.probe.fell_back("lease");
      co_return agreed;
    }
    if (call.measured) ledgers_[call.decoder].hands_over(call.prefiller(), call.handover.tokens);
  } else {
    give_back(call);
  }
  std::optional<http::Sent<http::Response>> got;
  if (pull) got = std::exchange(call.early, std::nullopt);
  if (!got) {
    auto answer = co_await send_decode(call, pull ? With::kHandover : With::kNothing);
    got = std::move(answer);
  }
  // A client without a limit asks for what there is room for, a chunk for more than that.
  const bool whole =
      *got && (*got)->head().status == 400 && call.chunks && call.chunks->may_lack_room();
  if (whole) call.chunks.reset();
  if (whole && !pull) {
    auto answer = co_await send_decode(call, With::kNothing);
    got = std::move(answer);
  }
  http::Sent<http::Response>& sent = *got;
  Leg leg{.again = whole && pull};
  if (sent) {
    leg.status = sent->head().status;
    leg.pulled = sent->head().headers.get("x-baton-remote-tokens") != "0";  // cached, or recomputed
    call.answer = *std::move(sent);
    bool told = call.answer->head().headers.has("x-baton-remote-tokens");
    if (pull && call.measured && !told && leg.status == 200) co_await take_proof(call);
  } else {
    leg = leg_of(sent.error());
    call.error = legs_.failed("decode", sent.error(), deps_.clock.now());
  }
  end_leg(call.decode_span, leg, call.error);
  if (leg.status == 500 && health_[call.decoder].suspect()) {
    aside_.spawn(watch_decoder(call.decoder));
  }
  if (pull && leg.status >= 400) forget_engine(call);
  Action next = call.transaction.on_decode(leg, deps_.clock.now());
  if (next == Action::kPrefill) deps_.probe.prefilled_again(whole ? "chunk" : "lost");
  if (next == Action::kDecodeLocally) {
    call.answer.reset();
    deps_.probe.fell_back("decode");
  }
  co_return next;
}

}  // namespace baton::sidecar
