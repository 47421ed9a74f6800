#include "routing/epp/admin.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/core/log.hpp"
#include "base/text/json.hpp"

namespace baton::epp {
namespace {

constexpr std::string_view kDecisions = "/debug/decisions", kEndpoints = "/debug/endpoints",
                           kPlugins = "/debug/plugins/state";

struct Answer {
  int status = 200;
  std::string_view type = "application/json";
  std::string body;
};

Answer plain(int status, std::string text) {
  return {.status = status, .type = "text/plain", .body = std::move(text)};
}

bool from_here(std::string_view peer) {
  return peer.starts_with("127.") || peer.starts_with("[::1]") || peer.starts_with("[::ffff:127.");
}

Answer decisions(std::string_view path, const Recorder& recorder) {
  path.remove_prefix(kDecisions.size());
  if (path.empty() || path == "/") {
    text::json::Value list;
    list["requests"] = text::json::Value(text::json::Array());
    for (auto& id : recorder.ids()) list["requests"].push_back(std::move(id));
    return {.body = text::json::dump(list) + "\n"};
  }
  path.remove_prefix(1);
  if (const auto found = recorder.find(path)) return {.body = text::json::dump(*found) + "\n"};
  return plain(404, fmt::format("no decision about request '{}' is remembered\n", path));
}

Answer answer_to(const http::Exchange& exchange, const observe::Registry& registry,
                 const Recorder& recorder, const Admin::Moment& moment) {
  const auto& head = exchange.head();
  const auto path = head.path();
  const bool asks_decisions = path == kDecisions || path.starts_with(std::string(kDecisions) + "/");
  const bool asks_plugins = path == kPlugins;
  if (path != "/metrics" && path != kEndpoints && !asks_plugins && !asks_decisions) {
    return plain(404,
                 "there are /metrics, /debug/decisions, /debug/endpoints and "
                 "/debug/plugins/state\n");
  }
  const bool reads = head.method == "GET" || (head.method == "HEAD" && !asks_plugins);
  if (!reads) return plain(405, "");
  if (path == "/metrics") {
    return {.type = "text/plain; version=0.0.4", .body = registry.expose()};
  }
  if (!from_here(exchange.peer())) return plain(403, "this is told to this machine only\n");
  if (path == kEndpoints) return {.body = text::json::dump(moment.endpoints()) + "\n"};
  if (asks_plugins) return {.body = text::json::dump(moment.plugins()) + "\n"};
  return decisions(path, recorder);
}

Answer refusal(const kube::AccessReview::Answer& reviewed) {
  using kube::AccessReview;
  switch (reviewed.verdict) {
    case AccessReview::Verdict::kUnknown:
      return plain(401, "Unauthorized: " + reviewed.why + "\n");
    case AccessReview::Verdict::kDenied:
      return plain(403, "Forbidden: " + reviewed.why + "\n");
    default:
      return plain(500, "Authentication failed: the API server did not say\n");
  }
}

}  // namespace

Admin::Admin(const observe::Registry& registry, const Recorder& recorder, Review review,
             Moment moment)
    : registry_(registry),
      recorder_(recorder),
      review_(std::move(review)),
      moment_(std::move(moment)) {
  if (review_) reviewers_.emplace(async::CpuPool::Config{.threads = 1, .queue = kMostReviews});
}

Task<kube::AccessReview::Answer> Admin::review(const http::RequestHead& head) {
  const std::string token(kube::bearer_token(head.headers.get("authorization").value_or("")));
  const std::string path(head.path());
  std::string verb = head.method;
  for (char& c : verb) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  auto answer = co_await reviewers_->run([&] { return review_(token, verb, path); });
  if (answer) co_return *std::move(answer);
  co_return kube::AccessReview::Answer{.why = answer.error().message()};
}

Task<void> Admin::answer(http::Exchange& exchange) {
  using kube::AccessReview;
  auto reviewed = AccessReview::Answer{AccessReview::Verdict::kAllowed, ""};
  if (review_) reviewed = co_await review(exchange.head());
  const bool allowed = reviewed.verdict == AccessReview::Verdict::kAllowed;
  if (!allowed) {
    log::warn("metrics are not told", {{"peer", exchange.peer()}, {"why", reviewed.why}});
  }
  if (allowed && exchange.head().path() == "/metrics") moment_.refresh();
  const auto answer =
      allowed ? answer_to(exchange, registry_, recorder_, moment_) : refusal(reviewed);
  http::ResponseHead head{answer.status, {{"content-type", std::string(answer.type)}}};
  if (answer.status == 405) head.headers.set("allow", "GET");
  if (answer.status == 401) head.headers.set("www-authenticate", "Bearer");
  const auto sent = co_await exchange.respond(std::move(head), answer.body);
  if (!sent) log::debug("an admin answer could not be sent", {{"why", sent.error().message()}});
}

}  // namespace baton::epp
