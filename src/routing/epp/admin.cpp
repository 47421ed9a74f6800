#include "routing/epp/admin.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/core/log.hpp"
#include "base/text/json.hpp"

namespace baton::epp {
namespace {

constexpr std::string_view kDecisions = "/debug/decisions";

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
                 const Recorder& recorder) {
  const auto& head = exchange.head();
  const auto path = head.path();
  const bool asks_decisions = path == kDecisions || path.starts_with(std::string(kDecisions) + "/");
  if (path != "/metrics" && !asks_decisions) {
    return plain(404, "there are /metrics and /debug/decisions\n");
  }
  if (head.method != "GET" && head.method != "HEAD") return plain(405, "");
  if (path == "/metrics") {
    return {.type = "text/plain; version=0.0.4", .body = registry.expose()};
  }
  if (!from_here(exchange.peer())) return plain(403, "decisions are told to this machine only\n");
  return decisions(path, recorder);
}

}  // namespace

Task<void> answer_admin(http::Exchange& exchange, const observe::Registry& registry,
                        const Recorder& recorder) {
  const auto answer = answer_to(exchange, registry, recorder);
  http::ResponseHead head{answer.status, {{"content-type", std::string(answer.type)}}};
  if (answer.status == 405) head.headers.set("allow", "GET");
  const auto sent = co_await exchange.respond(std::move(head), answer.body);
  if (!sent) log::debug("an admin answer could not be sent", {{"why", sent.error().message()}});
}

}  // namespace baton::epp
