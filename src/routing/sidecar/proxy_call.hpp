#pragma once
// One generation request on its way through the proxy. Internal to the folder.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/sidecar/chunked_decode.hpp"
#include "routing/sidecar/proxy.hpp"

namespace baton::sidecar {

struct Proxy::Call {
  http::Exchange& exchange;
  std::string_view path;  // of its route
  Api api;
  http::Endpoint decoder;
  // Shared with a prefill that goes on by itself; not changed once a leg has begun.
  std::shared_ptr<std::string> body;
  Deadline deadline;
  Nanos budget;  // that requests get here; a client may allow less
  Transaction transaction;
  http::RequestHead head;                    // as both legs send it
  std::optional<openai::BodyIndex> index{};  // when anything of the body changes
  std::vector<http::Endpoint> prefillers{};  // in the order of trial
  bool budget_taken = false;
  Pairing pairing{};

  std::optional<SelfSchedule::Choice> choice{};  // without a picker
  std::string_view no_prefill = "not-requested";
  std::string ticket{};  // that it was routed by, once verified
  // The status that the client gets once exchange.started(); 0: no engine's answer is sent.
  int answered = 0;
  std::string error{};  // of the last failed leg

  http::ResponseHead prefill_head{};
  std::string prefill_body{};
  std::optional<Nanos> prefill_time{};
  Handover handover{};
  bool measured = false;                              // the ledger of its decode engine counts it
  std::optional<std::uint64_t> pulled_tokens{};       // as that proves
  std::optional<http::Sent<http::Response>> early{};  // of a decode leg beside its prefill
  std::optional<http::Response> answer{};             // of the decode leg
  std::optional<ChunkedDecode> chunks{};              // when it is decoded in chunks

  observe::Span span{};  // of the request
  observe::Span prefill_span{};
  observe::Span decode_span{};  // of the decode leg, until its answer has passed

  const http::Endpoint& prefiller() const { return prefillers[transaction.candidate()]; }
};

// What the head asks beside a decode.
struct Proxy::Asked {
  ticket::Verdict ticket = ticket::Verdict::kGood;
  std::vector<std::string> prefillers{};  // as the picker names them, or our own choice
  std::vector<http::Endpoint> encoders{};
  bool chunked = false;
  bool source = false;           // KV of a third engine
  std::string_view kv_member{};  // by which a client says where KV comes from, and no router does

  bool changes_body() const {
    return !prefillers.empty() || !encoders.empty() || chunked || source;
  }
  bool nothing() const {
    return ticket == ticket::Verdict::kGood && !changes_body() && kv_member.empty();
  }
};

// Unwound without an end, the client left: nothing is known of the engine then.
struct Proxy::Attempt {
  Proxy& proxy;
  const http::Endpoint& to;
  Breaker::Pass pass;
  Nanos budget;  // of its request
  Mono began;
  bool told = false;

  // As soon as it is known how the leg went: ends its span, counts it, tells the breaker. Returns
  // how long it took.
  Nanos end(observe::Span& span, const Leg& leg, std::string_view error);
  ~Attempt() {
    if (!told) proxy.breakers_.of(to).on_abandoned(pass, proxy.deps_.clock.now());
  }
};

struct Proxy::Beside {
  http::Endpoint to;
  http::RequestHead head;
  openai::Spliced body;
  std::shared_ptr<const std::string> text;  // what slices of the body are of
  Deadline deadline;
  Nanos budget;
  Breaker::Pass pass;
  observe::Span span;
};

// Spans and attributes as llm-d names them (sidecar reference 24). `path` is that of the route.
observe::Span start_span(observe::Tracer* tracer, const http::Exchange& exchange,
                         std::string_view path, std::string_view connector);
observe::Span start_leg(const observe::Span& of, std::string_view name, const http::Endpoint& to);
void end_leg(observe::Span& span, const Leg& leg, std::string_view error);

// What became of a leg that never got as far as HTTP.
Leg leg_of(const http::Failure& failure);
// The engine is not there, or says so.
bool is_away(const Leg& leg);
std::string_view label(Leg::Kind kind);                   // for metrics
std::string left_alone(const http::Endpoint& prefiller);  // why it was not asked
// What a decode leg sends of the request's head: itself, or made in `room` where the leg has a span
// or a rank.
const http::RequestHead& head_of_decode(const http::RequestHead& head, const observe::Span& leg,
                                        std::optional<int> rank, http::RequestHead& room);

}  // namespace baton::sidecar
