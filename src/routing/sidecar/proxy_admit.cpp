// What is settled before any leg: who signed the route, which engines may be asked, whether the
// body can be edited.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/core/log.hpp"
#include "routing/sidecar/proxy.hpp"
#include "routing/sidecar/proxy_call.hpp"
#include "routing/sidecar/relay.hpp"

namespace baton::sidecar {

// What the head asks, and what we choose where nobody did.
Proxy::Asked Proxy::read_head(Call& call) {
  Asked asked{.ticket = check_ticket(call)};
  if (asked.ticket != ticket::Verdict::kGood) return asked;
  const http::RequestHead& head = call.exchange.head();
  asked.prefillers = prefill_candidates(head.headers);
  if (asked.prefillers.empty()) asked.kv_member = kv_member(call);
  if (!asked.kv_member.empty() && from_peer(call)) {
    call.no_prefill = "peer";
    asked.kv_member = {};
    return asked;
  }
  schedule_alone(call, asked.prefillers);
  read_source(call);
  asked.source = call.pairing.source.has_value();
  asked.encoders = read_encoders(call);
  asked.chunked = config_.decode_chunk_size > 0 && call.path == "/v1/chat/completions";
  return asked;
}

// Sees to it that what the head asks can be done. False: refused, and answered.
Task<bool> Proxy::admit(Call& call, Asked asked) {
  if (asked.ticket != ticket::Verdict::kGood) {
    co_await respond_error(
        call.exchange, 403,
        fmt::format("{}: the routing ticket is {}", ticket::kHeader, ticket::name(asked.ticket)),
        "sidecar");
    co_return false;
  }
  if (!asked.changes_body()) {
    co_await refuse_params(call.exchange, asked.kv_member);
    co_return false;
  }
  std::vector<std::string>& candidates = asked.prefillers;
  if (config_.sample_prefillers && !candidates.empty()) {
    std::ranges::rotate(
        candidates,
        candidates.begin() + static_cast<std::ptrdiff_t>(deps_.random.below(candidates.size())));
  }
  std::vector<http::Endpoint> targets = prefill_targets(candidates);
  if (targets.empty() && !candidates.empty()) {
    co_await refuse_targets(call, candidates.front());
    co_return false;
  }
  bool readable = co_await read_body(call);
  if (!readable) co_return false;
  if (const std::string_view member = kv_member(call); !member.empty()) {
    co_await refuse_params(call.exchange, member);
    co_return false;
  }
  if (!asked.encoders.empty()) {
    bool encoded = co_await encode(call, asked.encoders);
    if (!encoded) co_return false;
  }
  if (asked.chunked) call.chunks = ChunkedDecode::plan(*call.index, config_.decode_chunk_size);
  std::optional<KvSource> source = std::move(call.pairing.source);
  call.pairing = make_pairing(deps_.random);
  if (!single(*call.index)) {
    call.no_prefill = "several-choices";
    co_return true;
  }
  call.pairing.source = std::move(source);
  if (!asked.encoders.empty() || !targets.empty()) {
    call.head.headers.add("x-request-id", call.pairing.id);
  }
  if (targets.empty()) co_return true;
  call.prefillers = in_order_of_trial(targets);
  std::erase_if(call.prefillers, [&](const auto& each) { return unproved(each); });
  if (call.prefillers.empty()) {
    co_await respond_error(call.exchange, 503,
                           "every prefill engine named has failed its proof of transfer",
                           "sidecar");
    co_return false;
  }
  keep_warm(call);
  if (call.prefillers.empty()) co_return true;
  call.head.headers.remove("Accept-Encoding");  // both answers are read here
  co_return true;
}

// With a key, what is to be dialled must have been signed by a router.
ticket::Verdict Proxy::check_ticket(Call& call) {
  using ticket::Verdict;
  if (!config_.ticket_key) return Verdict::kGood;
  const http::Headers& headers = call.exchange.head().headers;
  const std::string endpoints = routed_endpoints(headers);
  const auto text = headers.get(ticket::kHeader).value_or("");
  bool allowed_bare = text.empty() && config_.unsigned_routes == Unsigned::kAllowed;
  if (endpoints.empty() || allowed_bare) return Verdict::kGood;
  return verify(call, text, endpoints);
}

// Contract: there is a key.
ticket::Verdict Proxy::verify(Call& call, std::string_view text, std::string_view endpoints) {
  using ticket::Verdict;
  const auto id = call.exchange.head().headers.get("x-request-id").value_or("");
  const auto verdict =
      tickets_.verify(config_.ticket_key->key(deps_.clock.now()), text,
                      {.request_id = id, .endpoints = endpoints}, deps_.clock.wall());
  deps_.probe.ticket_seen(ticket::name(verdict));
  if (verdict == Verdict::kGood) {
    call.ticket = text;
  } else {
    log::warn("a routing ticket is refused",
              {{"verdict", ticket::name(verdict)}, {"peer", call.exchange.peer()}});
  }
  return verdict;
}

// A prefill leg of another pod's sidecar, whose engine will ask ours for the KV. With a key it must
// be signed. Without one it may name no other engine: whoever reaches us can have a prefill engine
// keep KV anyway, by a routing header.
bool Proxy::from_peer(Call& call) {
  const http::Headers& headers = call.exchange.head().headers;
  const auto text = headers.get(ticket::kHeader).value_or("");
  const bool bare = text.empty() && config_.unsigned_routes == Unsigned::kAllowed;
  if (!config_.ticket_key || bare) return connector_->is_leg(*call.body, config_.pod_ip);
  if (text.empty()) return false;
  const auto verdict = verify(call, text, ticket::kPrefillLeg);
  return verdict == ticket::Verdict::kGood;
}

// For the sidecar of a prefill pod, where there is a key.
void Proxy::add_ticket(http::Headers& headers) {
  if (!config_.ticket_key) return;
  const std::string_view id = headers.get("x-request-id").value_or("");
  headers.set(ticket::kHeader, ticket::issue(config_.ticket_key->key(deps_.clock.now()),
                                             {.request_id = id, .endpoints = ticket::kPrefillLeg},
                                             deps_.clock.wall(), deps_.random));
}

// Without a picker this sidecar decides, and nobody else does unless it has signed.
void Proxy::schedule_alone(Call& call, std::vector<std::string>& candidates) {
  if (!self_) return;
  if (!candidates.empty()) {
    if (config_.ticket_key) return;
    candidates.clear();
    deps_.probe.refused("header");
  }
  const bool completion = call.path == "/v1/completions";
  if (!completion && call.path != "/v1/chat/completions") return;
  call.choice =
      self_->choose(*call.body, completion ? openai::Api::kCompletion : openai::Api::kChat,
                    deps_.clock.now(), deps_.random);
  if (!call.choice) return;
  if (call.choice->prefiller) {
    candidates.push_back(http::to_string(*call.choice->prefiller));
  } else {
    call.no_prefill = schedule::name(call.choice->picked.route.no_prefill);
  }
}

std::vector<http::Endpoint> Proxy::prefill_targets(const std::vector<std::string>& candidates) {
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
  return targets;
}

// None of the candidates may be, or can be, dialled.
Task<void> Proxy::refuse_targets(Call& call, std::string first) {
  if (allowlists_.empty()) {
    co_await respond_error(call.exchange, 502,
                           fmt::format("{}: '{}' is not host:port", kPrefillerHeader, first),
                           "sidecar");
    co_return;
  }
  http::ResponseHead head{403, {{"Content-Type", "text/plain; charset=utf-8"}}};
  head.headers.add("x-baton-error-hop", "sidecar");
  (void)co_await call.exchange.respond(
      std::move(head), "Forbidden: prefill target not allowed by SSRF protection\n");
}

// The member by which a client says where KV comes from, as only routers do; "": none. At the top
// of an edited body it is replaced; where else engines read it, as anywhere in a body that goes on
// as it is, it is refused.
std::string_view Proxy::kv_member(const Call& call) const {
  if (!call.index) return kv_member(*call.body);
  for (const char* key : {"sampling_params", "vllm_xargs"}) {
    const auto inside = call.index->find(key);
    if (inside && names_params(*inside)) return kTransferParams;
  }
  return {};
}

// The same of a body that goes on as it is.
std::string_view Proxy::kv_member(std::string_view body) const {
  if (names_params(body)) return kTransferParams;
  for (const std::string_view name : connector_->meeting_members()) {
    if (may_have_member(body, name)) return name;
  }
  return {};
}

Task<void> Proxy::refuse_params(http::Exchange& exchange, std::string_view member) {
  deps_.probe.refused("params");
  co_await respond_error(
      exchange, 400,
      fmt::format("{}: a client cannot say where KV comes from; leave the member out", member),
      "sidecar");
}

// Indexes the body. False: it is no JSON object, and that was answered.
Task<bool> Proxy::read_body(Call& call) {
  auto index = openai::BodyIndex::scan(*call.body, connector_->nested_member(call.api));
  if (!index) {
    deps_.probe.refused("json");
    co_await respond_error(call.exchange, 400, "invalid JSON: " + index.error().message(),
                           "sidecar");
    co_return false;
  }
  call.index = *std::move(index);
  co_return true;
}

}  // namespace baton::sidecar
