// What the sidecar tells of a request in its spans: names and attributes are llm-d's (sidecar
// reference 24).

#include <array>
#include <utility>

#include "net/http/trace_headers.hpp"
#include "routing/sidecar/proxy_call.hpp"

namespace baton::sidecar {

namespace {

// Names of generation requests: literals, so that a request that is not sampled allocates none.
std::string_view span_name(std::string_view path) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kNames = {{
      {"/v1/chat/completions", "llm_d.pd_proxy.POST /v1/chat/completions"},
      {"/v1/completions", "llm_d.pd_proxy.POST /v1/completions"},
      {"/v1/messages", "llm_d.pd_proxy.POST /v1/messages"},
      {"/v1/responses", "llm_d.pd_proxy.POST /v1/responses"},
      {"/inference/v1/generate", "llm_d.pd_proxy.POST /inference/v1/generate"},
  }};
  for (const auto& [known, name] : kNames) {
    if (known == path) return name;
  }
  return "llm_d.pd_proxy.POST";
}

bool failed(Outcome outcome) {
  return outcome == Outcome::kPrefillFailed || outcome == Outcome::kDecodeFailed ||
         outcome == Outcome::kClientGone;
}

}  // namespace

observe::Span start_span(observe::Tracer* tracer, const http::Exchange& exchange,
                         std::string_view path, std::string_view connector) {
  if (tracer == nullptr) return {};
  const http::RequestHead& head = exchange.head();
  observe::Span span = http::start_span(tracer, span_name(path), head.headers, exchange.arrived());
  span.set("llm_d.pd_proxy.connector", connector);
  span.set("llm_d.pd_proxy.request_path", head.path());
  if (const auto id = head.headers.get("x-request-id")) span.set("llm_d.pd_proxy.request_id", *id);
  return span;
}

observe::Span start_leg(const observe::Span& of, std::string_view name, const http::Endpoint& to) {
  observe::Span span = of.child(name, observe::SpanKind::kClient);
  if (span) span.set("server.address", http::to_string(to));
  return span;
}

void end_leg(observe::Span& span, const Leg& leg, std::string_view error) {
  if (!span) return;
  if (leg.status != 0) span.set("http.response.status_code", leg.status);
  const bool good = leg.kind == Leg::Kind::kAnswered && leg.status >= 200 && leg.status < 300;
  if (!good) span.fail(error.empty() ? label(leg.kind) : error);
}

void Proxy::end_span(Call& call) const {
  if (!call.span) return;
  const Transaction& t = call.transaction;
  const Nanos total = deps_.clock.now() - call.exchange.arrived();
  call.span.set("llm_d.pd_proxy.disaggregation_used", !call.prefillers.empty() && !t.fell_back());
  if (call.prefillers.empty()) {
    call.span.set("llm_d.pd_proxy.reason",
                  call.no_prefill == "not-requested" ? "no_prefill_header" : call.no_prefill);
  } else {
    call.span.set("llm_d.pd_proxy.prefill_candidates", call.prefillers.size());
    call.span.set("llm_d.pd_proxy.prefill_target", http::to_string(call.prefiller()));
  }
  if (call.prefill_time) {
    call.span.set("llm_d.pd_proxy.prefill_duration_ms", millis(*call.prefill_time));
  }
  call.span.set("llm_d.pd_proxy.total_duration_ms", millis(total));
  call.span.set("baton.outcome", name(t.outcome()));
  if (failed(t.outcome())) call.span.fail(call.error.empty() ? name(t.outcome()) : call.error);
}

}  // namespace baton::sidecar
