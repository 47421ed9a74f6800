// What the client gets, and what the prefill engine gets back.

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "base/text/json.hpp"
#include "routing/pick/learner.hpp"
#include "routing/sidecar/proxy.hpp"
#include "routing/sidecar/proxy_call.hpp"
#include "routing/sidecar/relay.hpp"

namespace baton::sidecar {

namespace {

constexpr Nanos kReleaseTimeout = std::chrono::seconds(2);
constexpr std::size_t kMaxWarmModel = 256;  // bytes of its name, in memory between requests

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

Task<void> Proxy::relay_prefill(Call& call) {
  http::ResponseHead head = std::move(call.prefill_head);
  http::remove_hop_by_hop(head.headers);
  head.headers.set("x-baton-error-hop", "prefill");
  head.headers.set("x-baton-prefill", http::to_string(call.prefiller()));
  call.answered = head.status;
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
  if (call.pulled_tokens) into.set("x-baton-remote-tokens", std::to_string(*call.pulled_tokens));
  auto tokens = told_tokens(call.prefill_head.headers);
  if (tokens) into.set("x-baton-prefill-tokens", std::to_string(*tokens));
  if (call.prefill_time) {
    into.add("Server-Timing", fmt::format("prefill;dur={:.3f}", millis(*call.prefill_time)));
  }
}

Task<void> Proxy::stream(Call& call) {
  http::ResponseHead head = call.answer->take_head();
  http::remove_hop_by_hop(head.headers);
  add_proof(call, head.headers);
  call.answered = head.status;
  bool good = head.status >= 200 && head.status < 300;
  if (!good) head.headers.set("x-baton-error-hop", "decode");
  const auto model = good && call.index ? call.index->find("model") : std::nullopt;
  if (model && model->size() <= kMaxWarmModel) warm_model_ = *model;
  if (good && call.choice) {
    self_->learn(*call.choice, !call.prefillers.empty() && !call.transaction.fell_back());
  }
  if (good && call.chunks) {
    co_await stream_chunks(call, std::move(head));
    co_return;
  }
  std::optional<pick::Learner> learner;
  Passing learns;
  if (good && call.choice) {
    learner.emplace(call.choice->api, pick::answer_form(head.headers.get("content-type")),
                    call.choice->chain ? &*call.choice->chain : nullptr);
    learns = [&](std::string_view piece) {
      self_->learn(*call.choice, learner->feed(piece).blocks);
    };
  }
  const Passing* passing = learner ? &learns : nullptr;
  Relayed relayed = Relayed::kWhole;
  if (good && connector_->order() == Order::kSerial && !call.prefillers.empty() &&
      !call.transaction.fell_back()) {
    relayed = co_await relay_with_usage(call.exchange, std::move(head), *call.answer, call.deadline,
                                        call.handover.cached_tokens, passing);
  } else {
    relayed = co_await relay(call.exchange, std::move(head), *call.answer, call.deadline, passing);
  }
  if (learner) self_->learn(*call.choice, learner->finish().blocks);
  if (relayed == Relayed::kWhole) call.transaction.on_sent();
  if (relayed == Relayed::kReplaced) call.answered = 502;
  if (relayed == Relayed::kEngineBroke || relayed == Relayed::kReplaced) {
    call.transaction.on_broken();
  }
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
  release_lease(call);
}

void Proxy::release_lease(const Call& call) {
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
