// The page at /ui and what it asks.

#include <fmt/format.h>

#include "base/text/json.hpp"
#include "routing/gateway/front.hpp"
#include "routing/gateway/page.hpp"

namespace baton::gateway {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

http::ResponseHead page_head(std::string_view type) {
  return {200,
          {{"content-type", std::string(type)},
           {"content-security-policy", std::string(kPagePolicy)},
           {"cache-control", "no-store"},
           {"x-content-type-options", "nosniff"},
           {"referrer-policy", "no-referrer"}}};
}

}  // namespace

CardKeeper Front::open_card(const http::Exchange& exchange, const std::string& request_id) {
  if (config_.page == Page::kOff) return {};
  return {board_.open(request_id, deps_.clock.wall(), exchange.arrived()), deps_.clock};
}

std::string Front::page_state() const {
  Array loads;
  double rate = 0;
  for (const auto& [key, pool] : services_) {
    const auto& snapshot = pool->snapshot();
    for (std::size_t i = 0; i < snapshot.size(); ++i) {
      const auto& load = snapshot.loads[i];
      const auto& endpoint = (*snapshot.endpoints)[i];
      rate += pool->tally(endpoint)->tokens_per_second;
      if (!load.fresh(deps_.clock.now())) continue;
      loads.emplace_back(Object{{"pod", endpoint.name},
                                {"running", static_cast<double>(load.running)},
                                {"waiting", static_cast<double>(load.waiting)},
                                {"kvUsage", static_cast<double>(load.kv_usage)}});
    }
  }
  return fmt::format(R"({{"stack":{},"tokensPerSecond":{},"loads":{},"requests":{}}})", stack_,
                     text::json::dump(rate), text::json::dump(loads),
                     text::json::dump(board_.to_json(deps_.clock.now())));
}

// Shows what they have said, and asks again.
void Front::talk_to_engines() {
  for (Card* card : board_.with_engines()) {
    card->told.clear();
    const auto talk = [&](const std::string& pod, const http::Endpoint& at) {
      if (const auto* said = talk_.said(at, card->id)) card->told.push_back({pod, *said});
      talk_.ask(at);
    };
    if (!card->prefill.empty()) talk(card->prefill, card->prefill_at);
    talk(card->decode, card->decode_at);
  }
}

// Its files are for everybody, what it asks for those with a key.
Task<void> Front::show_page(http::Exchange& exchange, std::string_view path, int& status) {
  path.remove_prefix(3);  // "/ui"
  status = 200;
  if (const auto file = page_file(path)) {
    const auto sent = co_await exchange.respond(page_head(file->type), file->content);
    static_cast<void>(sent);  // the client may be gone
    co_return;
  }
  if (!may(exchange)) {
    co_await refuse(exchange, {401, "the API key is missing or wrong"}, status);
    co_return;
  }
  std::string answer;
  if (path == "/state") {
    talk_to_engines();
    answer = page_state();
  } else if (const auto serial = serial_of(path)) {
    const Card* card = board_.find(*serial);
    if (card != nullptr && card->record) {
      answer = text::json::dump(Object{{"request", to_json(*card, deps_.clock.now())},
                                       {"record", schedule::to_json(*card->record)}});
    }
  }
  if (answer.empty()) {
    co_await refuse(exchange, {404, "the page asks for /ui/state and /ui/requests/NUMBER"}, status);
    co_return;
  }
  const auto sent = co_await exchange.respond(page_head("application/json"), answer);
  static_cast<void>(sent);
}

}  // namespace baton::gateway
