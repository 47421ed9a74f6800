#include "routing/sidecar/relay.hpp"

#include <charconv>
#include <string>
#include <utility>

#include "formats/openai/error_body.hpp"
#include "routing/sidecar/usage_fix.hpp"

namespace baton::sidecar {

namespace {

constexpr std::uint64_t kOneWrite = 128 << 10;

bool has_type(const http::ResponseHead& head, std::string_view type) {
  auto field = head.headers.get("Content-Type");
  return field && http::equal_names(field->substr(0, type.size()), type);
}

// Reads the rest, changes it, answers in one write.
Task<Relayed> relay_whole(http::Exchange& exchange, http::ResponseHead head, http::Response& answer,
                          Deadline deadline, std::optional<std::int64_t> cached_tokens,
                          const Passing* passing) {
  auto body = co_await answer.read_all(kMaxAnswer, deadline);
  if (!body) {
    co_await respond_error(exchange, body.error().kind == http::Failure::Kind::kTimeout ? 504 : 502,
                           body.error().error.message(), "decode");
    co_return Relayed::kReplaced;
  }
  if (passing != nullptr) (*passing)(*body);
  std::optional<std::string> fixed;
  if (cached_tokens) fixed = with_cached_tokens(*body, *cached_tokens);
  Status sent = co_await exchange.respond(std::move(head), fixed ? *fixed : *body);
  co_return sent ? Relayed::kWhole : Relayed::kClientGone;
}

// Passes pieces on as they come, after what has `begun` the body.
Task<Relayed> relay_pieces(http::Exchange& exchange, http::ResponseHead head,
                           std::string_view begun, http::Response& answer, Deadline deadline,
                           const Passing* passing) {
  Status sent = co_await exchange.start(std::move(head));
  if (sent && !begun.empty()) sent = co_await exchange.write(begun);
  while (sent) {
    auto piece = co_await answer.read_some(deadline);
    if (!piece) co_return Relayed::kEngineBroke;
    if (piece->empty()) break;
    if (passing != nullptr) (*passing)(*piece);
    sent = co_await exchange.write(*piece);
  }
  if (sent) sent = co_await exchange.finish();
  co_return sent ? Relayed::kWhole : Relayed::kClientGone;
}

}  // namespace

std::optional<std::uint64_t> content_length(const http::Headers& headers) {
  auto text = headers.get("Content-Length");
  std::uint64_t length = 0;
  if (!text) return std::nullopt;
  auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), length);
  return failed == std::errc() ? std::optional(length) : std::nullopt;
}

Task<Relayed> relay(http::Exchange& exchange, http::ResponseHead head, http::Response& answer,
                    Deadline deadline, const Passing* passing) {
  auto length = content_length(head.headers);
  bool to_head = exchange.head().method == "HEAD";
  if (length && *length <= kOneWrite && !to_head) {
    return relay_whole(exchange, std::move(head), answer, deadline, std::nullopt, passing);
  }
  return relay_pieces(exchange, std::move(head), "", answer, deadline, passing);
}

Task<Relayed> relay_after(http::Exchange& exchange, http::ResponseHead head, std::string_view begun,
                          http::Response& answer, Deadline deadline) {
  return relay_pieces(exchange, std::move(head), begun, answer, deadline, nullptr);
}

Task<Relayed> relay_with_usage(http::Exchange& exchange, http::ResponseHead head,
                               http::Response& answer, Deadline deadline,
                               std::int64_t cached_tokens, const Passing* passing) {
  if (has_type(head, "application/json")) {
    Relayed whole =
        co_await relay_whole(exchange, std::move(head), answer, deadline, cached_tokens, passing);
    co_return whole;
  }
  if (!has_type(head, "text/event-stream")) {
    Relayed whole = co_await relay(exchange, std::move(head), answer, deadline, passing);
    co_return whole;
  }
  head.headers.remove("Content-Length");
  StreamUsageFix fix(cached_tokens);
  Status sent = co_await exchange.start(std::move(head));
  while (sent) {
    auto piece = co_await answer.read_some(deadline);
    if (!piece) co_return Relayed::kEngineBroke;
    if (piece->empty()) break;
    if (passing != nullptr) (*passing)(*piece);
    auto lines = fix.feed(*piece);
    if (!lines) co_return Relayed::kEngineBroke;
    sent = co_await exchange.write(*lines);
  }
  if (sent) sent = co_await exchange.write(fix.finish());
  if (sent) sent = co_await exchange.finish();
  co_return sent ? Relayed::kWhole : Relayed::kClientGone;
}

Task<void> respond_error(http::Exchange& exchange, int status, std::string_view message,
                         std::string_view hop) {
  http::ResponseHead head{status, {{"Content-Type", "application/json"}}};
  head.headers.add("x-baton-error-hop", hop);
  std::string body = openai::to_json(openai::error_body(status, message));
  (void)co_await exchange.respond(std::move(head), body);
}

}  // namespace baton::sidecar
