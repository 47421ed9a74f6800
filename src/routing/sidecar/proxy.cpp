#include "routing/sidecar/proxy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/async/finish_by.hpp"
#include "base/core/assert.hpp"
#include "base/text/json.hpp"
#include "routing/sidecar/relay.hpp"
#include "routing/sidecar/store_answer.hpp"

namespace baton::sidecar {

namespace {

constexpr std::size_t kMaxBody = 64 << 20;
constexpr Nanos kReleaseTimeout = std::chrono::seconds(2);
constexpr std::string_view kNotReady =
    "The decode node is not ready. Please check that the vLLM service is running and the port "
    "configuration is correct.";

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

// The engine is not there, or says so.
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

// How many prompt tokens the prefill engine says it dealt with; nullopt when it does not tell.
std::optional<std::uint64_t> told_tokens(const http::Headers& headers) {
  std::optional<std::uint64_t> sum;
  for (std::string_view name : {"x-baton-computed-tokens", "x-baton-cached-tokens"}) {
    auto text = headers.get(name);
    std::uint64_t count = 0;
    if (!text) continue;
    auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), count);
    if (failed == std::errc()) sum = sum.value_or(0) + count;
  }
  return sum;
}

}  // namespace

struct Proxy::Call {
  http::Exchange& exchange;
  Api api;
  http::Endpoint decoder;
  std::string body;
  Deadline deadline;
  bool hurried;  // the client's own limit is the deadline
  Transaction transaction;
  http::RequestHead head;                    // as both legs send it
  std::optional<openai::BodyIndex> index{};  // when two legs are wanted
  std::vector<http::Endpoint> prefillers{};  // in the order of trial
  bool budget_taken = false;
  Pairing pairing{};

  std::string_view no_prefill = "not-requested";
  std::string error{};  // of the last failed leg

  http::ResponseHead prefill_head{};
  std::string prefill_body{};
  std::optional<Nanos> prefill_time{};
  Handover handover{};
  std::optional<http::Response> answer{};  // of the decode leg

  const http::Endpoint& prefiller() const { return prefillers[transaction.candidate()]; }
};

// However the request ends, also by cancellation: the lease goes back, the outcome is counted.
struct Proxy::Closing {
  Proxy& proxy;
  Call& call;
  ~Closing() {
    if (call.transaction.state() != State::kDone) call.transaction.on_client_gone();
    proxy.give_back(call);
    if (call.budget_taken) proxy.budget_.give();
    proxy.deps_.probe.request_done(call.transaction.outcome());
  }
};

// Unwound without an end, the client left: nothing is known of the engine then.
struct Proxy::Attempt {
  Proxy& proxy;
  const Call& call;
  Breaker::Pass pass;
  bool told = false;

  void tell(const Leg& leg) {
    told = true;
    Breaker& breaker = proxy.breakers_.of(call.prefiller());
    Mono now = proxy.deps_.clock.now();
    if (leg.kind == Leg::Kind::kTimeout && call.hurried) return breaker.on_abandoned(pass, now);
    if (is_away(leg)) {
      breaker.on_failure(pass, now);
    } else {
      breaker.on_success();
    }
  }
  ~Attempt() {
    if (!told) proxy.breakers_.of(call.prefiller()).on_abandoned(pass, proxy.deps_.clock.now());
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
      releases_(deps.loop.executor()),
      beside_(deps.loop.executor()) {
  set_base_port(0);
  if (!config_.allowlist_file.empty()) {
    allowlists_.push_back(std::make_unique<FileAllowlist>(config_.allowlist_file));
  }
  if (config_.pool) allowlists_.push_back(std::make_unique<PublishedAllowlist>(config_.pool));
}

void Proxy::set_base_port(std::uint16_t port) {
  config_.ports.serving = port;
  config_.ports.ranks = config_.ranks;
  connector_ = make_connector(config_.connector, config_.ports, config_.pull);
  BATON_ASSERT(connector_ != nullptr);
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

Task<void> Proxy::handle(http::Exchange& exchange, int rank) {
  const http::RequestHead& head = exchange.head();
  if (head.method == "GET" && head.path() == "/health") {
    (void)co_await exchange.respond({200, {}}, "");
    co_return;
  }
  std::optional<Api> api = generation_api(head);
  if (const auto problem = http::content_coding_problem(head.headers); api && problem) {
    co_await respond_error(exchange, 415, *problem, "sidecar");
    co_return;
  }
  Result<std::string> body = co_await exchange.read_body(kMaxBody);
  if (!body) {
    co_await respond_error(exchange, http::body_error_status(body.error()), body.error().message(),
                           "sidecar");
    co_return;
  }
  std::optional<http::Endpoint> decoder =
      api ? named_decoder(head, rank) : std::optional(decoder_of(rank));
  if (!decoder) {
    deps_.probe.refused("rank");
    (void)co_await exchange.respond({400, {}}, "");
  } else if (api) {
    co_await generate(exchange, *api, *decoder, *std::move(body));
  } else {
    co_await pass_through(exchange, *decoder, *std::move(body));
  }
}

Task<void> Proxy::pass_through(http::Exchange& exchange, const http::Endpoint& decoder,
                               std::string body) {
  deps_.probe.request_passed_through();
  Deadline deadline = Deadline::in(deps_.clock, config_.request_timeout);
  http::RequestHead head = forwarded(exchange.head(), exchange.peer());
  std::array<std::string_view, 1> pieces = {body};
  auto answer = co_await decode_client_.send(decoder, head, pieces, deadline);
  if (!answer) {
    Transaction alone(config_.tactics, deadline);
    (void)alone.begin(0, deps_.clock.now());
    (void)alone.on_decode(leg_of(answer.error()), deps_.clock.now());
    bool refused = answer.error().kind == http::Failure::Kind::kRefused;
    co_await respond_error(exchange, alone.status(),
                           refused ? kNotReady : answer.error().error.message(), "decode");
    co_return;
  }
  http::ResponseHead out = answer->head();
  http::remove_hop_by_hop(out.headers);
  (void)co_await relay(exchange, std::move(out), *answer, deadline);
}

Task<void> Proxy::generate(http::Exchange& exchange, Api api, const http::Endpoint& decoder,
                           std::string body) {
  auto limit = client_limit(exchange.head().headers, config_.request_timeout);
  if (!limit) {
    deps_.probe.refused("timeout");
    co_await respond_error(exchange, 400, limit.error().message(), "sidecar");
    co_return;
  }
  Deadline deadline = Deadline::in(deps_.clock, limit->value_or(config_.request_timeout));
  Call call{exchange,
            api,
            decoder,
            std::move(body),
            deadline,
            limit->has_value(),
            Transaction(config_.tactics, deadline),
            forwarded(exchange.head(), exchange.peer())};
  bool admitted = co_await admit(call);
  if (!admitted) co_return;
  Closing closing{*this, call};
  co_await run(call);
}

// Chooses the prefill engines and decides whether there are any. False: refused, and answered.
Task<bool> Proxy::admit(Call& call) {
  std::vector<std::string> candidates = prefill_candidates(call.exchange.head().headers);
  read_source(call);
  if (candidates.empty() && !call.pairing.source) co_return true;
  if (config_.sample_prefillers && !candidates.empty()) {
    std::ranges::rotate(
        candidates,
        candidates.begin() + static_cast<std::ptrdiff_t>(deps_.random.below(candidates.size())));
  }
  std::vector<http::Endpoint> targets;
  for (const std::string& text : candidates) {
    std::optional<http::Endpoint> target = http::parse_endpoint(text);
    bool may = allowlists_.empty() || (target && allowed(*target));
    if (target && may) {
      targets.push_back(*std::move(target));
    } else {
      deps_.probe.refused(may ? "target" : "allowlist");
    }
  }
  if (targets.empty() && !candidates.empty() && !allowlists_.empty()) {
    http::ResponseHead head{403, {{"Content-Type", "text/plain; charset=utf-8"}}};
    head.headers.add("x-baton-error-hop", "sidecar");
    (void)co_await call.exchange.respond(
        std::move(head), "Forbidden: prefill target not allowed by SSRF protection\n");
    co_return false;
  }
  if (targets.empty() && !candidates.empty()) {
    co_await respond_error(
        call.exchange, 502,
        fmt::format("{}: '{}' is not host:port", kPrefillerHeader, candidates.front()), "sidecar");
    co_return false;
  }
  auto index = openai::BodyIndex::scan(call.body, connector_->nested_member(call.api));
  if (!index) {
    deps_.probe.refused("json");
    co_await respond_error(call.exchange, 400, "invalid JSON: " + index.error().message(),
                           "sidecar");
    co_return false;
  }
  if (!single(*index)) {
    call.no_prefill = "several-choices";
    co_return true;
  }
  std::optional<KvSource> source = std::move(call.pairing.source);
  call.pairing = make_pairing(deps_.random);
  call.pairing.source = std::move(source);
  call.index = *std::move(index);
  if (targets.empty()) co_return true;
  call.prefillers = in_order_of_trial(targets);
  call.head.headers.add("x-request-id", uuid4(deps_.random));
  call.head.headers.remove("Accept-Encoding");  // both answers are read here
  co_return true;
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

Task<void> Proxy::run(Call& call) {
  Transaction& t = call.transaction;
  bool two_legs = !call.prefillers.empty();
  if (two_legs && connector_->order() == Order::kParallel) {
    co_await run_legs(call, start_beside(call));
    co_return;
  }
  if (two_legs && connector_->order() == Order::kDecodeFirst) {
    bool answered = co_await answered_by_decode(call);
    if (answered) co_return;
  }
  co_await run_legs(call, t.begin(call.prefillers.size(), deps_.clock.now()));
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
  Mono begin = deps_.clock.now();
  std::optional<Breaker::Pass> pass = breakers_.of(call.prefiller()).admit(begin);
  Leg leg{.kind = Leg::Kind::kOpen};
  if (pass) {
    Attempt attempt{*this, call, *pass};
    Leg made = co_await attempt_prefill(call);
    leg = made;
    attempt.tell(leg);
    call.prefill_time = deps_.clock.now() - begin;
    deps_.probe.prefill_took(*call.prefill_time);
  } else if (call.error.empty()) {
    call.error = fmt::format("the prefill engine at {} keeps failing and is left alone for now",
                             http::to_string(call.prefiller()));
  }
  deps_.probe.prefill_attempted(label(leg.kind));
  Action next = call.transaction.on_prefill(leg, deps_.clock.now());
  if (next == Action::kDecodeLocally) {
    deps_.probe.fell_back(leg.kind == Leg::Kind::kUnusable ? "no-kv" : "prefill");
  }
  co_return next;
}

Task<Leg> Proxy::attempt_prefill(Call& call) {
  Deadline deadline = call.transaction.leg_deadline(deps_.clock.now());
  call.pairing.prefiller = call.prefiller();
  std::vector<openai::Edit> edits = connector_->prefill_edits(call.api, *call.index, call.pairing);
  openai::Spliced body = call.index->splice(edits);
  auto sent = co_await prefill_client_.send(call.prefiller(), call.head, body.pieces, deadline);
  if (!sent) {
    call.error = sent.error().error.message();
    co_return leg_of(sent.error());
  }
  Mono granted = deps_.clock.now();
  auto whole = co_await sent->read_all(kMaxAnswer, deadline);
  if (!whole) {
    call.error = whole.error().error.message();
    co_return leg_of(whole.error());
  }
  call.prefill_head = sent->head();
  call.prefill_body = *std::move(whole);
  Leg leg = read_prefill(call);
  leg.granted = granted;
  co_return leg;
}

// What a complete prefill answer amounts to.
Leg Proxy::read_prefill(Call& call) const {
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
  return {.kind = Leg::Kind::kAnswered, .status = status, .leased = connector_->leases()};
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
  } else {
    give_back(call);
  }
  openai::Spliced spliced;
  std::vector<std::string_view> pieces = {call.body};
  if (call.index) {
    std::vector<openai::Edit> edits = pull ? connector_->decode_edits(call.handover, call.pairing)
                                           : connector_->local_edits(call.pairing);
    spliced = call.index->splice(edits);
    pieces = spliced.pieces;
  }
  // A handover is never sent twice: by then the engine may have pulled, or the KV may be gone.
  auto sent = co_await decode_client_.send(call.decoder, call.head, pieces, call.deadline,
                                           pull ? http::Resend::kNever : http::Resend::kOnFresh);
  Leg leg;
  if (sent) {
    leg.status = sent->head().status;
    leg.pulled = sent->head().headers.get("x-baton-remote-tokens") != "0";  // cached, or recomputed
    call.answer = *std::move(sent);
  } else {
    leg = leg_of(sent.error());
    call.error =
        leg.kind == Leg::Kind::kRefused ? std::string(kNotReady) : sent.error().error.message();
  }
  Action next = call.transaction.on_decode(leg, deps_.clock.now());
  if (next == Action::kPrefill) deps_.probe.prefilled_again("lost");
  if (next == Action::kDecodeLocally) {
    call.answer.reset();
    deps_.probe.fell_back("decode");
  }
  co_return next;
}

Task<void> Proxy::relay_prefill(Call& call) {
  http::ResponseHead head = std::move(call.prefill_head);
  http::remove_hop_by_hop(head.headers);
  head.headers.set("x-baton-error-hop", "prefill");
  head.headers.set("x-baton-prefill", http::to_string(call.prefiller()));
  (void)co_await call.exchange.respond(std::move(head), call.prefill_body);
  call.transaction.on_sent();
}

// How the prompt was prefilled, as far as it is known.
void Proxy::add_proof(const Call& call, http::Headers& into) const {
  const Transaction& t = call.transaction;
  if (t.attempts() > 1) {
    into.set("x-baton-prefill-attempts", std::to_string(t.attempts()));
  }
  if (call.prefillers.empty() || t.fell_back()) {
    into.set("x-baton-prefill",
             fmt::format("none; reason={}", t.fell_back() ? "fallback" : call.no_prefill));
    return;
  }
  into.set("x-baton-prefill", http::to_string(call.prefiller()));
  auto tokens = told_tokens(call.prefill_head.headers);
  if (tokens) into.set("x-baton-prefill-tokens", std::to_string(*tokens));
  if (call.prefill_time) {
    into.add("Server-Timing", fmt::format("prefill;dur={:.1f}", millis(*call.prefill_time)));
  }
}

Task<void> Proxy::stream(Call& call) {
  http::ResponseHead head = call.answer->head();
  http::remove_hop_by_hop(head.headers);
  add_proof(call, head.headers);
  bool good = head.status >= 200 && head.status < 300;
  if (!good) head.headers.set("x-baton-error-hop", "decode");
  Relayed relayed = Relayed::kWhole;
  if (good && connector_->order() == Order::kSerial && !call.prefillers.empty() &&
      !call.transaction.fell_back()) {
    relayed = co_await relay_with_usage(call.exchange, std::move(head), *call.answer, call.deadline,
                                        call.handover.cached_tokens);
  } else {
    relayed = co_await relay(call.exchange, std::move(head), *call.answer, call.deadline);
  }
  if (relayed == Relayed::kWhole) call.transaction.on_sent();
  if (relayed == Relayed::kEngineBroke) call.transaction.on_broken();
}

Task<void> Proxy::fail(Call& call) {
  bool prefill = call.transaction.outcome() == Outcome::kPrefillFailed;
  co_await respond_error(call.exchange, call.transaction.status(), call.error,
                         prefill ? "prefill" : "decode");
  call.transaction.on_sent();
}

// The KV that the prefill engine keeps for us will not be pulled: tell it.
void Proxy::give_back(Call& call) {
  if (!call.transaction.owes_release()) return;
  call.transaction.on_released();
  if (call.handover.lease_token.empty() || call.handover.request_id.empty()) {
    deps_.probe.lease_abandoned("unleased");  // not an engine of ours: its own timeout ends it
    return;
  }
  using text::json::Object;
  std::string body = text::json::dump(Object{{"remote_request_id", call.handover.request_id},
                                             {"lease_token", call.handover.lease_token}});
  releases_.spawn(release(call.prefiller(), std::move(body)));
}

Task<void> Proxy::release(http::Endpoint to, std::string body) {
  http::RequestHead head{"POST", "/baton/v1/kv/release", {{"Content-Type", "application/json"}}};
  std::array<std::string_view, 1> pieces = {body};
  Deadline deadline = Deadline::in(deps_.clock, kReleaseTimeout);
  auto answer = co_await prefill_client_.send(to, head, pieces, deadline);
  if (!answer) {
    deps_.probe.lease_abandoned("unreachable");
    co_return;
  }
  int status = answer->head().status;
  deps_.probe.lease_abandoned(status >= 200 && status < 300 ? "released" : "ignored");
  (void)co_await answer->read_all(kMaxAnswer, deadline);  // the connection is used again
}

}  // namespace baton::sidecar
