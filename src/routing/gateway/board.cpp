#include "routing/gateway/board.hpp"

#include <algorithm>
#include <charconv>
#include <ranges>

#include "routing/gateway/heads.hpp"
#include "routing/pick/learner.hpp"

namespace baton::gateway {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::size_t kMaxTiming = 3;  // lines of Server-Timing that are kept
constexpr std::string_view kRequests = "/requests/";

}  // namespace

std::string_view name(Card::Stage stage) {
  switch (stage) {
    case Card::Stage::kPicking:
      return "picking";
    case Card::Stage::kPrefill:
      return "prefill";
    case Card::Stage::kDecode:
      return "decode";
    case Card::Stage::kAnswering:
      return "answering";
    case Card::Stage::kDone:
      return "done";
    case Card::Stage::kFailed:
      return "failed";
    case Card::Stage::kLeft:
      return "left";
  }
  return "";
}

std::optional<std::uint64_t> serial_of(std::string_view path) {
  if (!path.starts_with(kRequests)) return std::nullopt;
  path.remove_prefix(kRequests.size());
  std::uint64_t serial = 0;
  const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), serial);
  if (error != std::errc() || end != path.data() + path.size()) return std::nullopt;
  return serial;
}

void Card::picked(const pick::Route& route) {
  decode = route.decode.name;
  decode_at = address(route.decode);
  prefill = route.prefill ? route.prefill->name : "";
  prefill_at = route.prefill ? address(*route.prefill) : http::Endpoint{};
  no_prefill = schedule::name(route.no_prefill);
  stage = route.prefill ? Stage::kPrefill : Stage::kDecode;
}

void Card::answered(const http::ResponseHead& head, Mono now) {
  const auto& proof = head.headers;
  status = head.status;
  first_byte = now - arrived;
  stage = Stage::kAnswering;
  told.clear();
  prompt = count_in(proof, "x-baton-prompt-tokens");
  remote = count_in(proof, "x-baton-remote-tokens");
  cached = count_in(proof, "x-baton-cached-tokens");
  computed = count_in(proof, "x-baton-computed-tokens");
  kv_bytes = count_in(proof, "x-baton-kv-bytes");
  for (const auto line : proof.get_all("server-timing") | std::views::take(kMaxTiming)) {
    timing.append(timing.empty() ? "" : ", ").append(openai::legible(line));
  }
  if (!prefill.empty() && !pick::used_prefill(proof.get("x-baton-prefill"))) {
    no_prefill = openai::legible(proof.get("x-baton-prefill").value_or(""));
  }
}

Value to_json(const Card& card, Mono now) {
  const auto ms = [](Nanos time) { return millis(time); };
  Array engines;
  for (const auto& [pod, request] : card.told)
    engines.emplace_back(Object{{"pod", pod},
                                {"phase", openai::name(request.phase)},
                                {"promptTokens", request.prompt},
                                {"readyTokens", request.ready}});
  return Object{{"serial", card.serial},
                {"id", card.id},
                {"service", card.service},
                {"model", card.model},
                {"stage", name(card.stage)},
                {"decode", card.decode},
                {"prefill", card.prefill},
                {"noPrefill", card.no_prefill},
                {"engines", card.is_with_engines() ? std::move(engines) : Array{}},
                {"promptTokens", card.prompt},
                {"remoteTokens", card.remote},
                {"cachedTokens", card.cached},
                {"computedTokens", card.computed},
                {"kvBytes", card.kv_bytes},
                {"timing", card.timing},
                {"tokens", card.tokens},
                {"firstByteMs", ms(card.first_byte)},
                {"totalMs", ms(card.is_over() ? card.total : now - card.arrived)},
                {"status", card.status},
                {"explained", card.record != nullptr}};
}

std::shared_ptr<Card> Board::open(std::string_view id, Wall at, Mono arrived) {
  auto card = std::make_shared<Card>();
  card->serial = next_serial_++;
  card->id = openai::legible(id);
  card->at = at;
  card->arrived = arrived;
  if (cards_.size() == kMost) {
    // Those on their way stay as long as there are others.
    const auto over = std::ranges::find_if(cards_, [](const auto& c) { return c->is_over(); });
    cards_.erase(over == cards_.end() ? cards_.begin() : over);
  }
  cards_.push_back(card);
  return card;
}

std::vector<Card*> Board::with_engines() {
  std::vector<Card*> out;
  for (const auto& card : cards_)
    if (card->is_with_engines()) out.push_back(card.get());
  return out;
}

const Card* Board::find(std::uint64_t serial) const {
  const auto found =
      std::ranges::find_if(cards_, [&](const auto& card) { return card->serial == serial; });
  return found == cards_.end() ? nullptr : found->get();
}

Value Board::to_json(Mono now) const {
  Array out;
  for (auto card = cards_.rbegin(); card != cards_.rend(); ++card) {
    out.push_back(gateway::to_json(**card, now));
  }
  return out;
}

CardKeeper::~CardKeeper() {
  if (!card_ || card_->is_over()) return;
  card_->stage = Card::Stage::kLeft;
  card_->total = clock_->now() - card_->arrived;
}

void CardKeeper::finish(int status) {
  if (!card_) return;
  card_->status = status;
  card_->stage = status / 100 == 2 ? Card::Stage::kDone : Card::Stage::kFailed;
  card_->total = clock_->now() - card_->arrived;
}

}  // namespace baton::gateway
