// An answer that is decoded in chunks.

#include <algorithm>
#include <array>
#include <utility>

#include "base/core/log.hpp"
#include "formats/openai/error_body.hpp"
#include "routing/sidecar/proxy.hpp"
#include "routing/sidecar/proxy_call.hpp"
#include "routing/sidecar/relay.hpp"
#include "routing/sidecar/usage_fix.hpp"

namespace baton::sidecar {

// The answer to the request for a further chunk; kMalformed when it is none.
Task<http::Sent<std::string>> Proxy::ask_chunk(Call& call) {
  Pairing alone = call.pairing;
  alone.source.reset();
  std::vector<openai::Edit> edits = connector_->local_edits(alone);
  std::erase_if(edits, [](const auto& edit) { return edit.key == "kv_transfer_params"; });
  std::ranges::move(call.chunks->edits(), std::back_inserter(edits));
  openai::Spliced body = call.index->splice(edits);
  http::RequestHead room;
  const auto& head = head_of_decode(call.head, call.decode_span, std::nullopt, room);
  auto sent = co_await decode_client_.send(call.decoder, head, body.pieces, call.deadline);
  if (!sent) co_return std::unexpected(std::move(sent).error());
  call.answer = *std::move(sent);
  auto whole = co_await call.answer->read_all(kMaxAnswer, call.deadline);
  co_return whole;
}

// Or to that for the rest of the answer.
Task<http::Sent<std::string>> Proxy::next_chunk(Call& call) {
  auto text = co_await ask_chunk(call);
  if (text && call.answer->head().status == 400 && call.chunks->may_lack_room()) {
    call.chunks->ask_for_rest();
    auto rest = co_await ask_chunk(call);
    text = std::move(rest);
  }
  co_return text;
}

// The first chunk's head has arrived with a 2xx. A client that leaves ends the loop as it ends
// everything.
Task<void> Proxy::stream_chunks(Call& call, http::ResponseHead head) {
  ChunkedDecode& chunks = *call.chunks;
  head.headers.remove("Content-Length");
  head.headers.set("Content-Type", chunks.streamed() ? "text/event-stream" : "application/json");
  auto text = co_await call.answer->read_all(kMaxAnswer, call.deadline);
  bool pulled = !call.prefillers.empty() && !call.transaction.fell_back() &&
                connector_->order() == Order::kSerial;
  if (text && pulled) {
    auto fixed = with_cached_tokens(*text, call.handover.cached_tokens);
    if (fixed) text = *std::move(fixed);
  }
  for (;;) {
    const int status = call.answer ? call.answer->head().status : 0;
    Result<bool> more =
        text ? Result<bool>(false) : Result<bool>(unavailable(text.error().error.message()));
    if (text && status >= 200 && status < 300) {
      more = chunks.take(*text);
      if (more) deps_.probe.chunk_decoded();
    } else if (text && status == 400 && chunks.is_full()) {
      chunks.end();
    } else if (text) {
      more = unavailable("the decode engine refused a further chunk");
    }
    if (!more && more.error().code() == Code::kUnsupported) co_return co_await stream_whole(call);
    if (!more) {
      co_await end_chunks(call, text ? std::move(*text) : "", more.error().message());
      co_return;
    }
    if (chunks.streamed()) {
      Status sent;
      if (!call.exchange.started()) sent = co_await call.exchange.start(head);
      if (sent) sent = co_await call.exchange.write(chunks.event());
      if (!sent) co_return;
    }
    if (!*more) break;
    auto next = co_await next_chunk(call);
    text = std::move(next);
  }
  Status sent;
  if (chunks.streamed()) {
    sent = co_await call.exchange.write(chunks.closing());
    if (sent) sent = co_await call.exchange.finish();
  } else {
    sent = co_await call.exchange.respond(std::move(head), chunks.whole());
  }
  if (sent) call.transaction.on_sent();
}

// Nothing was sent, and chunks would not make the answer: the request goes out as the client made
// it, with a prompt that the decode engine has by now.
Task<void> Proxy::stream_whole(Call& call) {
  call.chunks.reset();
  auto sent = co_await send_decode(call, With::kNothing);
  const std::string error = sent ? "" : sent.error().error.message();
  end_leg(call.decode_span, sent ? Leg{.status = sent->head().status} : leg_of(sent.error()),
          error);
  if (!sent) co_return co_await end_chunks(call, "", error);
  const int status = sent->head().status;
  call.answer = *std::move(sent);
  co_await stream(call);
  if (status >= 300) call.transaction.on_broken();
}

// A chunk failed: its answer goes to a client that has nothing yet, else an event says so.
Task<void> Proxy::end_chunks(Call& call, std::string body, std::string reason) {
  log::warn("a chunk failed", {{"reason", reason}});
  const int status = call.answer ? call.answer->head().status : 502;
  if (call.exchange.started()) {
    const std::string event = openai::to_json(openai::error_body(502, reason));
    Status sent = co_await call.exchange.write("data: " + event + "\n\ndata: [DONE]\n\n");
    if (sent) (void)co_await call.exchange.finish();
  } else if (status >= 200 && status < 300) {
    call.answered = 502;
    co_await respond_error(call.exchange, 502, reason, "decode");
  } else {
    call.answered = status;
    http::ResponseHead head = call.answer->head();
    http::remove_hop_by_hop(head.headers);
    add_proof(call, head.headers);
    head.headers.set("x-baton-error-hop", "decode");
    (void)co_await call.exchange.respond(std::move(head), body);
  }
  call.transaction.on_broken();
}

}  // namespace baton::sidecar
